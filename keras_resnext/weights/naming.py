"""Names of our layers' tensors in other libraries, both ways.

A library's naming is a table from our layers' names to its modules' names; `{s}` and `{b}` stand
for a stage's and a block's number. To support a library, add a `Naming` to `NAMINGS`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keras_resnext.files import escape
from keras_resnext.weights.layers import HEAD, LayerWeights

KINDS = ("weight", "bias", "running_mean", "running_var")
"""A module's tensors in PyTorch, in the order of `keras.Layer.get_weights`."""
_IGNORED = re.compile(r"(^|\.)num_batches_tracked$|^n_averaged$")
_SHOWN = 5  # tensors that an error names


@dataclass(frozen=True)
class Naming:
    """How a library names the modules of a ResNeXt.

    Attributes:
        library: whose naming it is.
        modules: its modules' names by our layers' names.
        shortcut: the kind of shortcut that is named so.
        first_stage: number of the first stage there; ours is 1.
        first_block: number of a stage's first block there; ours is 1.
    """

    library: str
    modules: Mapping[str, str]
    shortcut: str = "projection"
    first_stage: int = 1
    first_block: int = 0

    def layer(self, module: str) -> str | None:
        """Return our name for a module; None if no ResNeXt has it."""
        return _renamed(module, self._to_layer, 1 - self.first_stage, 1 - self.first_block)

    def module(self, layer: str) -> str | None:
        """Return the library's name for one of our layers; None if it has none."""
        return _renamed(layer, self._to_module, self.first_stage - 1, self.first_block - 1)

    @cached_property
    def _to_layer(self):
        return [(_pattern(theirs), ours) for ours, theirs in self.modules.items()]

    @cached_property
    def _to_module(self):
        return [(_pattern(ours), theirs) for ours, theirs in self.modules.items()]


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for number in "sb":
        pattern = pattern.replace(rf"\{{{number}\}}", rf"(?P<{number}>\d{{1,4}})")
    return re.compile(pattern)


def _renamed(name, pairs, stages, blocks):
    for pattern, template in pairs:
        if match := pattern.fullmatch(name):
            found = {"s": "0", "b": "0"} | match.groupdict()
            return template.format(s=int(found["s"]) + stages, b=int(found["b"]) + blocks)
    return None


def _blocks(modules: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {f"stage{{s}}_block{{b}}_{ours}": prefix + theirs for ours, theirs in modules.items()}


def _torchvision(stem: Mapping[str, str], shortcut: str) -> Naming:
    """Naming of torchvision, and of timm, which has more kinds of stems and shortcuts."""
    block = {f"{kind}{index}": f"{kind}{index}" for kind in ("conv", "bn") for index in (1, 2, 3)}
    block |= {"se_conv1": "se.fc1", "se_conv2": "se.fc2"}
    pool = int(shortcut == "average_pool")  # the pooling is the module before the convolution
    block |= {"shortcut_conv": f"downsample.{pool}", "shortcut_bn": f"downsample.{pool + 1}"}
    modules = {**stem, **_blocks(block, "layer{s}.{b}."), HEAD: "fc"}
    return Naming("torchvision and timm", modules, shortcut)


_STEM = {"stem_conv": "conv1", "stem_bn": "bn1"}
# timm's deep stems; the last of their three normalizations has the name of the only one.
_DEEP_STEM = {
    "stem_conv1": "conv1.0",
    "stem_bn1": "conv1.1",
    "stem_conv2": "conv1.3",
    "stem_bn2": "conv1.4",
    "stem_conv3": "conv1.6",
    "stem_bn3": "bn1",
}


def _original(prefix: str, head: str) -> Naming:
    """Naming of github.com/facebookresearch/ResNeXt (Lua), as converters number its modules."""
    block = {
        "conv1": "0.0.0.0",
        "bn1": "0.0.0.1",
        "conv2": "0.0.0.3",
        "bn2": "0.0.0.4",
        "conv3": "0.0.1",
        "bn3": "0.0.2",
        "shortcut_conv": "0.1.0",
        "shortcut_bn": "0.1.1",
    }
    stem = {"stem_conv": f"{prefix}0", "stem_bn": f"{prefix}1"}
    modules = {**stem, **_blocks(block, f"{prefix}{{s}}.{{b}}."), HEAD: head}
    return Naming("the original ResNeXt", modules, first_stage=4)


_CIFAR_BLOCK = {
    "conv1": "split_transforms.0",
    "bn1": "split_transforms.1",
    "conv2": "split_transforms.3",
    "bn2": "split_transforms.4",
    "conv3": "split_transforms.6",
    "bn3": "split_transforms.7",
    "shortcut_conv": "shortcut.0",
    "shortcut_bn": "shortcut.1",
}
NAMINGS = (
    _torchvision(_STEM, "projection"),
    _torchvision(_DEEP_STEM, "projection"),
    _torchvision(_STEM, "average_pool"),
    _torchvision(_DEEP_STEM, "average_pool"),
    _original("features.", "last_linear"),
    _original("", "10.1"),
    Naming(
        "github.com/weiaicunzai/pytorch-cifar100",
        {
            "stem_conv": "conv1.0",
            "stem_bn": "conv1.1",
            **_blocks(_CIFAR_BLOCK, "conv{s}.{b}."),
            HEAD: "fc",
        },
        first_stage=2,
    ),
)


def from_torch(tensors: Mapping[str, np.ndarray]) -> LayerWeights:
    """Rename tensors as our layers, and lay them out as Keras does.

    Args:
        tensors: a state dict in one of `NAMINGS`, kernels as (out, in, height, width).

    Raises:
        ValueError: they are not those of a ResNeXt; the message says of what, and names the first
            tensors that do not fit.
    """
    kept = {name: value for name, value in tensors.items() if not _IGNORED.search(name)}
    naming = max(NAMINGS, key=lambda naming: sum(_known(name, naming) for name in kept))
    arrays: dict[str, dict[str, np.ndarray]] = {}
    strange = []
    for name, value in kept.items():
        module, _, kind = name.rpartition(".")
        layer = naming.layer(module)
        if layer and kind in _kinds(layer) and _fits(layer, kind, value.shape):
            arrays.setdefault(layer, {})[kind] = _to_keras(value)
        else:
            strange.append(f"{escape(name)} {value.shape}")
    strange += [
        f"{naming.module(layer)}.{kind} is missing"
        for layer, found in arrays.items()
        for kind in _kinds(layer)
        if kind not in found
    ]
    if strange or not arrays:
        raise ValueError(
            f"{_what(kept)}: {_few(strange) or 'it is empty'}; expected the tensors of a ResNeXt "
            f"as named by {', '.join(dict.fromkeys(naming.library for naming in NAMINGS))}"
        )
    weights = LayerWeights(
        {layer: [found[kind] for kind in _kinds(layer)] for layer, found in arrays.items()},
        naming.shortcut,
    )
    if weights.architecture() is None:
        raise ValueError(
            f"{_what(kept)}: it lacks layers of a ResNeXt; found {_few([*map(escape, kept)])}"
        )
    return weights


def to_torch(weights: LayerWeights, library: str = NAMINGS[0].library) -> dict[str, np.ndarray]:
    """Rename the weights of layers as a library's tensors, and lay them out as PyTorch does.

    Args:
        weights: of a ResNeXt.
        library: one of `NAMINGS`.

    Raises:
        ValueError: the library has no such network.
    """
    has_shortcuts = any(name.endswith("_shortcut_conv") for name in weights.arrays)
    for naming in NAMINGS:
        modules = {layer: naming.module(layer) for layer in weights.arrays}
        fits = naming.shortcut == weights.shortcut or not has_shortcuts
        if naming.library == library and fits and None not in modules.values():
            break
    else:
        raise ValueError(f"{weights.architecture()}: {library} has no names for such a network")
    tensors = {}
    for layer, arrays in weights.arrays.items():
        for kind, array in zip(_kinds(layer), arrays, strict=True):
            tensors[f"{modules[layer]}.{kind}"] = _to_torch(array)
        if _is_norm(layer):
            tensors[f"{modules[layer]}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


def _known(tensor: str, naming: Naming) -> bool:
    return naming.layer(tensor.rpartition(".")[0]) is not None


def _kinds(layer: str) -> tuple[str, ...]:
    """The tensors that a layer has."""
    if _is_norm(layer):
        return KINDS
    return KINDS[:2] if layer == HEAD or "_se_" in layer else KINDS[:1]


def _fits(layer: str, kind: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor has the rank, and a block's kernel the size, that the layer's has."""
    if kind != "weight" or _is_norm(layer):
        return len(shape) == 1
    if layer == HEAD or layer.startswith("stem"):
        return len(shape) == (2 if layer == HEAD else 4)
    return shape[2:] == ((3, 3) if layer.endswith("_conv2") and "_se_" not in layer else (1, 1))


def _is_norm(layer: str) -> bool:
    return re.search(r"_bn\d?$", layer) is not None


def _what(names: Iterable[str]) -> str:
    """Say what network tensors belong to, as far as their names tell."""
    blocks = {match[0] for name in names if (match := re.match(r"layer\d+\.\d+\.", name))}
    if blocks and not any(".conv3." in name for name in names):
        return f"a ResNet-{2 * len(blocks) + 2} of basic blocks (two 3x3 convolutions each)"
    return "tensors of a ResNet of another kind" if blocks else "tensors of another network"


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return f"{', '.join(texts[:_SHOWN])}{more}"


def _to_keras(value: np.ndarray) -> np.ndarray:
    """From (out, in, height, width) to (height, width, in, out), from (out, in) to (in, out)."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
    return value.transpose(axes) if axes else value


def _to_torch(value: np.ndarray) -> np.ndarray:
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
    return np.ascontiguousarray(value.transpose(axes) if axes else value)
