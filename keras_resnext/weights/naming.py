"""Names of our layers' tensors in other libraries, both ways.

A library's naming is a table from our layers' names to its modules' names; `{s}` and `{b}` stand
for a stage's and a block's number. To support a library, add a `Naming` to `NAMINGS`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from os.path import commonprefix
from typing import Any

import numpy as np

from keras_resnext.files import escape, few
from keras_resnext.weights.layers import HEAD, LayerWeights, MisfitError, misfit

KINDS = ("weight", "bias", "running_mean", "running_var")
"""A module's tensors in PyTorch, in the order of `keras.Layer.get_weights`."""
FEWEST = 10  # modules of a stem, a block and its shortcut, with their normalizations
_IGNORED = re.compile(r"(^|[./])(num_batches_tracked|n_averaged)$")
_AVERAGES = re.compile(r"(^|[^a-z])(ema|swa|averaged?|teacher)([^a-z]|$)")


@dataclass(frozen=True, eq=False)
class Naming:
    """How a library names the modules of a ResNeXt.

    Attributes:
        library: whose naming it is.
        modules: its modules' names by our layers', those of blocks without the block's prefix.
        shortcut: the kind of shortcut that is named so.
        first_stage: number of the first stage there; ours is 1.
    """

    library: str
    modules: Mapping[str, str]
    shortcut: str = "projection"
    first_stage: int = 1

    def layer(self, module: str) -> tuple[str, str] | None:
        """Return what stands before a module's name, and our name; None if no ResNeXt has it."""
        for pattern, layer in self._patterns:
            if match := pattern.fullmatch(module):
                if "s" in pattern.groupindex:
                    stage, block = int(match["s"]) - self.first_stage + 1, int(match["b"]) + 1
                    layer = f"stage{stage}_block{block}_{layer}"
                return match["prefix"], layer
        return None

    def module(self, layer: str) -> str | None:
        """Return the library's name for one of our layers; None if it has none."""
        match = re.fullmatch(r"stage(\d+)_block(\d+)_(\w+)", layer)
        if not match:
            return self.modules.get(layer)
        name = self.modules.get(match[3])
        numbers = {"s": int(match[1]) + self.first_stage - 1, "b": int(match[2]) - 1}
        return name and name.format(**numbers)

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        found = []
        # The longest first: "0.0" before "0", which its end is.
        for layer, module in sorted(self.modules.items(), key=lambda pair: -len(pair[1])):
            pattern = re.escape(module).replace(r"\{b\}", r"(?P<b>\d{1,4})")
            pattern = pattern.replace(r"\{s\}", r"(?P<s>\d{1,4})", 1).replace(r"\{s\}", "(?P=s)")
            found.append((re.compile(rf"(?P<prefix>(?:.*[./])?){pattern}"), layer))
        return found


_PARTS = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "shortcut_conv", "shortcut_bn",
          "se_conv1", "se_conv2")  # fmt: skip


def _modules(stem: str, block: str, parts: str, head: str | None = None) -> dict[str, str]:
    """Modules by our layers: the stem's, a block's prefix and `_PARTS` in it, the classifier."""
    names = stem.split()
    ours = _PARTS[:6] if len(names) > 2 else ("conv", "bn")
    modules = {f"stem_{part}": name for part, name in zip(ours, names, strict=True)}
    modules |= {p: block + name for p, name in zip(_PARTS, parts.split(), strict=False)}
    return modules | ({HEAD: head} if head else {})


_CONVS = "conv1 bn1 conv2 bn2 conv3 bn3"
_LUA = "0.0.0.0 0.0.0.1 0.0.0.3 0.0.0.4 0.0.1 0.0.2 0.1.0 0.1.1"
_SPLIT = " ".join(f"split_transforms.{index}" for index in (0, 1, 3, 4, 6, 7))
_REDUCE = "conv_reduce bn_reduce conv_conv bn conv_expand bn_expand"
_DOWN = "downsample.0 downsample.1"
_DETECTRON = " ".join(f"{conv} {conv}.norm" for conv in ("conv1", "conv2", "conv3", "shortcut"))


def _torchvision(library: str, stems: Sequence[str], block: str, head=None, first_stage=1):
    """Namings of torchvision and timm: two kinds of stems, two kinds of shortcuts."""
    for stem in stems:
        for index, shortcut in enumerate(("projection", "average_pool")):  # the pooling is before
            parts = f"{_CONVS} downsample.{index} downsample.{index + 1} se.fc1 se.fc2"
            yield Naming(library, _modules(stem, block, parts, head), shortcut, first_stage)


NAMINGS = (
    *_torchvision(
        # Of timm's deep stems, the last normalization has the name of the only one of others.
        "torchvision", ("conv1 bn1", "conv1.0 conv1.1 conv1.3 conv1.4 conv1.6 bn1"),
        "layer{s}.{b}.", "fc",
    ),
    # nn.Sequential(*list(network.children())[:-2]), whose 2 and 3 are activation and pooling.
    *_torchvision("sequential", ("0 1", "0.0 0.1 0.3 0.4 0.6 1"), "{s}.{b}.", first_stage=4),
    Naming(
        "mmpretrain",
        _modules(
            "backbone.conv1 backbone.bn1",
            "backbone.layer{s}.{b}.",
            f"{_CONVS} {_DOWN} se_layer.conv1.conv se_layer.conv2.conv",
            "head.fc",
        ),
    ),
    Naming(
        "detectron2",
        _modules("stem.conv1 stem.conv1.norm", "res{s}.{b}.", _DETECTRON, "linear"),
        first_stage=2,
    ),
    Naming(
        "kuangliu",  # pytorch-cifar
        _modules("conv1 bn1", "layer{s}.{b}.", f"{_CONVS} shortcut.0 shortcut.1", "linear"),
    ),
    Naming(
        "prlz77",  # ResNeXt.pytorch, and bearpaw/pytorch-classification
        _modules(
            "conv_1_3x3 bn_1",
            "stage_{s}.stage_{s}_bottleneck_{b}.",
            f"{_REDUCE} shortcut.shortcut_conv shortcut.shortcut_bn",
            "classifier",
        ),
    ),
    Naming(
        "d-x-y",  # ResNeXt-DenseNet
        _modules("conv_1_3x3 bn_1", "stage_{s}.{b}.", f"{_REDUCE} {_DOWN}", "classifier"),
    ),
    Naming(
        "weiaicunzai",  # pytorch-cifar100
        _modules("conv1.0 conv1.1", "conv{s}.{b}.", f"{_SPLIT} shortcut.0 shortcut.1", "fc"),
        first_stage=2,
    ),
    # github.com/facebookresearch/ResNeXt (Lua), as converters number its modules.
    Naming("lua", _modules("features.0 features.1", "features.{s}.{b}.", _LUA, "last_linear"),
           first_stage=4),
    Naming("lua", _modules("0 1", "{s}.{b}.", _LUA, "10.1"), first_stage=4),
)  # fmt: skip
LIBRARIES = tuple(dict.fromkeys(naming.library for naming in NAMINGS))

# What other networks' tensors are called, as timm and torchvision have them.
_OTHERS = (
    (r"denseblock\d", "a DenseNet"),
    (r"cls_token|encoder_layer_\d|relative_position_bias", "a vision transformer"),
    (r"layer_scale|dwconv|conv_dw\.bias", "a ConvNeXt"),
    (r"blocks\.\d+\.\d+\.conv_dw|features\.\d+\.\d+\.block|_depthwise_conv",
     "an EfficientNet or MobileNet"),
    (r"features\.\d+\.conv\.\d", "a MobileNetV2"),
    (r"features\.\d+\.(weight|bias)$", "a VGG or AlexNet"),
    (r"Mixed_\d|inception\d", "an Inception"),
    (r"trunk_output|s\d\.b\d\.conv", "a RegNet"),
    (r"layer0\.conv1", "a ResNet by Cadene, which pools otherwise"),
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Where in a state dict, behind which prefix, the tensors of a network are.

    Attributes:
        tensors: their names, by our layers and by kind.
        others: names of tensors beside the network.
        misfits: tensors that no ResNeXt has so, or that are missing, in words.
    """

    naming: Naming
    prefix: str
    tensors: dict[str, dict[str, str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return escape(self.prefix.rstrip("./").replace("/", ".")) or "the tensors at the top"

    def names(self) -> set[str]:
        """Names of all of its tensors."""
        return {name for found in self.tensors.values() for name in found.values()}

    def weights(self, read: Callable[[str], np.ndarray]) -> LayerWeights:
        """Read the tensors, and lay them out as Keras does."""
        arrays = {
            layer: [_to_keras(read(found[kind])) for kind in _kinds(layer) if kind in found]
            for layer, found in self.tensors.items()
        }
        return LayerWeights(arrays, self.naming.shortcut)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `MisfitError` where tensors of these shapes are those of no ResNeXt."""
        # Arrays which take no memory.
        self.weights(lambda name: np.broadcast_to(np.float32(0), shapes[name]))


def find_network(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Network, list[str]]:
    """Find the tensors of a ResNeXt, whatever stands before their names and beside them.

    Where there are several, that is an average of weights, as timm chooses it, or else the first.

    Args:
        shapes: of tensors by name, those of dicts in dicts as `key/name`; kernels are
            (out, in, height, width).

    Returns:
        The network, and lines that say what was left out.

    Raises:
        ValueError: there is none; the message says what there is, and names the first tensors that
            do not fit.
    """
    kept = {name: shape for name, shape in shapes.items() if not _IGNORED.search(name)}
    modules = dict.fromkeys(name.rpartition(".")[0] for name in kept)
    places: dict[tuple[Naming, str], dict[str, str]] = {}
    for naming, module in product(NAMINGS, modules):
        if found := naming.layer(module):
            places.setdefault((naming, found[0]), {})[module] = found[1]
    networks = [
        _fit(kept, naming, prefix, layers)
        for (naming, prefix), layers in places.items()
        if len(layers) >= FEWEST
    ]
    complete = [network for network in networks if not network.misfits]
    if not complete:
        closest = max(networks, key=lambda network: len(network.tensors), default=None)
        raise ValueError(_unknown(kept, closest))
    best = max(complete, key=lambda n: (bool(_AVERAGES.search(n.prefix)), len(n.names())))
    taken, lines = best.names(), []
    copies = [str(network) for network in complete if not taken & network.names()]
    if copies:
        lines.append(f"took {best}; it holds {', '.join(dict.fromkeys(copies))} too")
    if best.others:
        own = best.prefix.split(".")
        parts = [name.split(".") for name in best.others]
        same = [len(commonprefix([own, part])) for part in parts]  # noqa: RUF071 - of lists
        groups = [".".join(p[: n + 1]).rpartition("/")[2] for p, n in zip(parts, same, strict=True)]
        others = few(map(escape, dict.fromkeys(groups)))
        lines.append(f"left out {others}, which a ResNeXt does not have")
    return best, lines


def _fit(shapes, naming: Naming, prefix: str, layers: dict[str, str]) -> Network:
    """Take the tensors of one naming behind one prefix."""
    network = Network(naming, prefix)
    scope = prefix[: prefix.rfind("/") + 1]
    roots = {name[len(prefix) :].split(".")[0] for name in layers if layers[name] != HEAD}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        layer = layers.get(module)
        if layer and layer != HEAD and kind in _kinds(layer):
            network.tensors.setdefault(layer, {})[kind] = name
        elif name.startswith(prefix) and name[len(prefix) :].split(".")[0] in roots:
            network.misfits.append(f"{escape(name)} {shape}")
        elif name.startswith(scope):
            network.others.append(name)
    network.misfits.extend(
        f"{prefix}{naming.module(layer)}.{kind} is missing"
        for layer, found in network.tensors.items()
        for kind in _kinds(layer)
        if kind not in found
    )
    if not network.misfits:
        _compare(network, shapes)
    if not network.misfits and (head := naming.modules.get(HEAD)):
        _take_head(network, shapes, prefix + head)
    return network


def _compare(network: Network, shapes) -> None:
    """Add what differs from the nearest architecture to the misfits."""
    try:
        network.check(shapes)
    except MisfitError as error:
        for (layer, index), expected in error.expected.items():
            name = f"{network.prefix}{network.naming.module(layer)}.{KINDS[index]}"
            if expected and len(expected) == 4:
                expected = tuple(expected[axis] for axis in (3, 2, 0, 1))
            network.misfits.append(misfit(name, shapes.get(name), expected))


def _take_head(network: Network, shapes, head: str) -> None:
    """Take the classifier: a linear layer of the right name, or the only one in a Sequential."""
    pattern = re.compile(re.escape(head) + r"(\.\d+)?")
    found = [name for name in network.others if pattern.fullmatch(name.rpartition(".")[0])]
    kinds = {name.rpartition(".")[2]: name for name in found}
    if len(kinds) == len(found) and kinds.keys() <= {"weight", "bias"} and "weight" in kinds:
        network.tensors[HEAD] = kinds
        try:
            network.check(shapes)
            network.others[:] = [name for name in network.others if name not in found]
        except MisfitError:
            del network.tensors[HEAD]


def to_torch(weights: LayerWeights, library: str = LIBRARIES[0]) -> dict[str, np.ndarray]:
    """Rename the weights of layers as a library's tensors, and lay them out as PyTorch does.

    Raises:
        ValueError: the library, one of `LIBRARIES`, has no such network.
    """
    has_shortcuts = any(name.endswith("_shortcut_conv") for name in weights.arrays)
    for naming in NAMINGS:
        modules = {layer: naming.module(layer) for layer in weights.arrays}
        fits = naming.shortcut == weights.shortcut or not has_shortcuts
        if naming.library == library and fits and None not in modules.values():
            break
    else:
        raise ValueError(f"naming: {library} has no names for all layers of {weights.architecture}")
    tensors = {}
    for layer, arrays in weights.arrays.items():
        for kind, array in zip(_kinds(layer), arrays, strict=True):
            tensors[f"{modules[layer]}.{kind}"] = _to_torch(array)
        if "_bn" in layer:
            tensors[f"{modules[layer]}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


def _kinds(layer: str) -> tuple[str, ...]:
    """The tensors that a layer has."""
    if "_bn" in layer:
        return KINDS
    return KINDS[:2] if layer == HEAD or "_se_" in layer else KINDS[:1]


def _unknown(shapes: Mapping[str, tuple[int, ...]], closest: Network | None) -> str:
    """Say what network tensors belong to, as far as their names tell, and what does not fit."""
    known = f"known are the names of {', '.join(LIBRARIES)}"
    for pattern, what in _OTHERS:
        if any(re.search(pattern, name) for name in shapes):
            return f"{what}: {few(map(escape, shapes))}; {known}"
    blocks = {match[0] for name in shapes if (match := re.search(r"layer\d+\.\d+\.", name))}
    what = "a ResNet of another kind" if blocks else "another network" if shapes else "no tensors"
    if blocks and not any(".conv3." in name for name in shapes):
        what = f"a ResNet-{2 * len(blocks) + 2}: basic blocks, no groups"
    if closest:
        library = closest.naming.library
        return f"{what}; by the names of {library}, these do not fit: {few(closest.misfits)}"
    return f"{what}: {few(f'{escape(name)} {shape}' for name, shape in shapes.items())}; {known}"


def _to_keras(value: np.ndarray) -> np.ndarray:
    """From (out, in, height, width) to (height, width, in, out), from (out, in) to (in, out)."""
    axes: Any = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
    return value.transpose(axes) if axes else value


def _to_torch(value: np.ndarray) -> np.ndarray:
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
    return np.ascontiguousarray(value.transpose(axes) if axes else value)
