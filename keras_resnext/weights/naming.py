"""What other libraries call the tensors of our layers."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_resnext.weights.layers import HEAD, LayerWeights

# A batch normalisation's and a layer's with a bias, in the order of `keras.Layer.get_weights`.
TORCH = ("weight", "bias", "running_mean", "running_var")
KERAS = ("gamma", "kernel", "depthwise_kernel", "beta", "bias", "moving_mean", "moving_variance")
TORCH_IGNORED = re.compile(r"num_batches_tracked$|^n_averaged$")
KERAS_IGNORED = re.compile(r"_2_gconv/")  # sums depthwise outputs, always in the same way
# keras-applications' epsilon is 1.001e-5 and ours PyTorch's; the variance takes up the difference.
EPSILON_DIFFERENCE = 1e-8


class Rule(NamedTuple):
    """What a module is called, and our layer's name with the groups of the match."""

    pattern: re.Pattern[str]
    name: Callable[[re.Match[str]], str]


def _rules(*pairs: tuple[str, str], stage: int = 0, block: int = 1) -> tuple[Rule, ...]:
    """Rules for modules that count stages and blocks from another number than 1.

    The groups `s` and `b` of a pattern are the stage's and block's number, `n` is taken as it is.
    """

    def rule(pattern: str, name: str) -> Rule:
        def our_name(match: re.Match[str]) -> str:
            found = match.groupdict()
            if "s" in found:
                counted = (int(found["s"]) + stage, int(found["b"]) + block)
                return "stage{}_block{}_".format(*counted) + name.format(**found)
            return name.format(**found)

        return Rule(re.compile(pattern), our_name)

    return tuple(rule(*pair) for pair in pairs)


_TORCHVISION = _rules(
    (r"conv1", "stem_conv"),
    (r"bn1", "stem_bn"),
    (r"layer(?P<s>\d)\.(?P<b>\d+)\.(?P<n>(conv|bn)[123])", "{n}"),
    (r"layer(?P<s>\d)\.(?P<b>\d+)\.se\.fc(?P<n>[12])", "se_conv{n}"),
    (r"layer(?P<s>\d)\.(?P<b>\d+)\.downsample\.\d", "shortcut"),
    (r"fc", HEAD),
)
# timm's deep stems; the last of their three normalisations has the name of the only one.
_TIMM_DEEP = (
    *_rules(
        (r"conv1\.0", "stem_conv1"),
        (r"conv1\.1", "stem_bn1"),
        (r"conv1\.3", "stem_conv2"),
        (r"conv1\.4", "stem_bn2"),
        (r"conv1\.6", "stem_conv3"),
        (r"bn1", "stem_bn3"),
    ),
    *_TORCHVISION[2:],
)
# github.com/facebookresearch/ResNeXt (Lua), as converters to PyTorch number its modules.
_ORIGINAL = _rules(
    (r"(features\.)?0", "stem_conv"),
    (r"(features\.)?1", "stem_bn"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.0\.0", "conv1"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.0\.1", "bn1"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.0\.3", "conv2"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.0\.4", "bn2"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.1", "conv3"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.0\.2", "bn3"),
    (r"(features\.)?(?P<s>[4-7])\.(?P<b>\d+)\.0\.1\.\d", "shortcut"),
    (r"last_linear|10\.1", HEAD),
    stage=-3,
)
# github.com/weiaicunzai/pytorch-cifar100, whose first 1x1 convolutions are grouped.
_CIFAR = _rules(
    (r"conv1\.0", "stem_conv"),
    (r"conv1\.1", "stem_bn"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.0", "conv1"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.1", "bn1"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.3", "conv2"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.4", "bn2"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.6", "conv3"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.split_transforms\.7", "bn3"),
    (r"conv(?P<s>[2-5])\.(?P<b>\d+)\.shortcut\.\d", "shortcut"),
    (r"fc", HEAD),
    stage=-1,
)
TORCH_NAMINGS = (_TORCHVISION, _TIMM_DEEP, _ORIGINAL, _CIFAR)

# github.com/keras-team/keras-applications, resnext.py.
KERAS_APPLICATIONS = _rules(
    (r"conv1_conv", "stem_conv"),
    (r"conv1_bn", "stem_bn"),
    (r"conv(?P<s>[2-5])_block(?P<b>\d+)_(?P<n>[123])_conv", "conv{n}"),
    (r"conv(?P<s>[2-5])_block(?P<b>\d+)_(?P<n>[123])_bn", "bn{n}"),
    (r"conv(?P<s>[2-5])_block(?P<b>\d+)_0_(?P<n>conv|bn)", "shortcut_{n}"),
    (r"probs|predictions|fc1000", HEAD),
    stage=-1,
    block=0,
)


def from_torch(tensors: Mapping[str, np.ndarray]) -> LayerWeights:
    """Name PyTorch's tensors as our layers, and lay them out as Keras does.

    Args:
        tensors: a state dict of torchvision, timm, of the original networks by a converter from
            Lua, or of the CIFAR-100 implementation with grouped 1x1 convolutions.

    Raises:
        ValueError: some belong to no ResNeXt of these.
    """
    kept = {name: value for name, value in tensors.items() if not TORCH_IGNORED.search(name)}
    rules = max(TORCH_NAMINGS, key=lambda rules: len(_named(kept, rules, ".")))
    named = _named(kept, rules, ".")
    _check_known(kept, named)
    arrays: dict[str, list[np.ndarray]] = {}
    for suffix in TORCH:
        for name, (layer, kind) in named.items():
            if kind == suffix:
                if layer.endswith("_shortcut"):
                    layer += "_conv" if _is_convolution(name, kept) else "_bn"
                arrays.setdefault(layer, []).append(_to_keras(kept[name]))
    # timm's average-pool shortcut has the pooling before the convolution.
    pooled = any(name.endswith("downsample.1.weight") and kept[name].ndim == 4 for name in kept)
    return LayerWeights(arrays, "average_pool" if pooled else "projection")


def from_keras_applications(tensors: Mapping[str, np.ndarray]) -> LayerWeights:
    """Name the tensors of the ResNeXt of keras-applications as our layers.

    It convolves groups by a depthwise convolution with `c` outputs a channel, and a frozen 1x1
    convolution that adds those of each group: output `m` of channel `i` of group `g` counts
    towards output `g * c + m`.

    Raises:
        ValueError: some belong to no such network.
    """
    kept = {name: value for name, value in tensors.items() if not KERAS_IGNORED.search(name)}
    named = _named(kept, KERAS_APPLICATIONS, "/")
    _check_known(kept, named)
    arrays: dict[str, list[np.ndarray]] = {}
    for suffix in KERAS:
        for name, (layer, kind) in named.items():
            if kind != suffix:
                continue
            value = kept[name]
            if layer.endswith("_conv2"):
                height, width, channels, c = value.shape
                groups = value.reshape(height, width, channels // c, c, c)
                value = groups.transpose(0, 1, 3, 2, 4).reshape(height, width, c, channels)
            elif kind == "moving_variance":
                value = value + np.asarray(EPSILON_DIFFERENCE, value.dtype)
            arrays.setdefault(layer, []).append(value)
    return LayerWeights(arrays)


def to_torch(model: keras.Model) -> dict[str, np.ndarray]:
    """Name a network's weights as torchvision and timm do, and lay them out as PyTorch does.

    Args:
        model: a `ResNeXt` with blocks of form (c); its dtype is kept.

    Raises:
        ValueError: it has a layer that they have no name for.
    """
    layers = [layer for layer in model.layers if layer.weights]
    pooled = any(layer.name.endswith("_shortcut_pool") for layer in model.layers)
    tensors: dict[str, np.ndarray] = {}
    for layer in layers:
        module = _torch_module(layer.name, pooled)
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        for suffix, value in zip(TORCH, layer.get_weights(), strict=False):
            tensors[f"{module}.{suffix}"] = _to_torch(value)
        if is_norm:
            tensors[f"{module}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


_TO_TORCH = (
    (re.compile(r"stem_conv"), lambda match, pooled: "conv1"),
    (re.compile(r"stem_bn3?"), lambda match, pooled: "bn1"),
    (re.compile(r"stem_conv([123])"), lambda match, pooled: f"conv1.{3 * int(match[1]) - 3}"),
    (re.compile(r"stem_bn([12])"), lambda match, pooled: f"conv1.{3 * int(match[1]) - 2}"),
    (
        re.compile(r"stage(\d)_block(\d+)_((?:conv|bn)[123])"),
        lambda match, pooled: f"layer{match[1]}.{int(match[2]) - 1}.{match[3]}",
    ),
    (
        re.compile(r"stage(\d)_block(\d+)_se_conv([12])"),
        lambda match, pooled: f"layer{match[1]}.{int(match[2]) - 1}.se.fc{match[3]}",
    ),
    (
        re.compile(r"stage(\d)_block(\d+)_shortcut_(conv|bn)"),
        lambda match, pooled: (
            f"layer{match[1]}.{int(match[2]) - 1}.downsample.{(match[3] == 'bn') + pooled}"
        ),
    ),
    (re.compile(HEAD), lambda match, pooled: "fc"),
)


def _torch_module(layer: str, pooled: bool) -> str:
    for pattern, name in _TO_TORCH:
        if match := pattern.fullmatch(layer):
            return name(match, pooled)
    raise ValueError(
        f"layer {layer!r}: torchvision and timm know none like it; expected a ResNeXt with "
        'blocks of form (c): build one with block="grouped" and use transfer_weights'
    )


def _named(
    tensors: Iterable[str], rules: Iterable[Rule], separator: str
) -> dict[str, tuple[str, str]]:
    """Our layer, and the kind of tensor, of each name that a rule knows."""
    known = {}
    for name in tensors:
        module, _, kind = name.rpartition(separator)
        for rule in rules:
            if match := rule.pattern.fullmatch(module):
                known[name] = (rule.name(match), kind)
                break
    return known


def _check_known(tensors, named):
    kinds = {*TORCH, *KERAS}
    strange = [name for name in tensors if name not in named or named[name][1] not in kinds]
    if strange or not tensors:
        raise ValueError(
            f"{len(strange)} of {len(tensors)} tensors belong to no ResNeXt of torchvision, timm, "
            f"keras-applications or the original code: {', '.join(strange[:5])}"
        )


def _is_convolution(name, tensors):
    return tensors[name.rpartition(".")[0] + ".weight"].ndim == 4


def _to_keras(value: np.ndarray) -> np.ndarray:
    """From (out, in, height, width) to (height, width, in, out), from (out, in) to (in, out)."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
    return value.transpose(axes) if axes else value


def _to_torch(value: np.ndarray) -> np.ndarray:
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
    return np.ascontiguousarray(value.transpose(axes)) if axes else value
