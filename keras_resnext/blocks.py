"""Stems, the bottleneck block in its three forms, and shortcuts (Xie et al., sections 3 and 4).

Every function takes and returns a Keras tensor of the functional API, channels where
`keras.config.image_data_format()` says. Layer names follow one rule, which weight conversion
walks: `stem_conv`, `stem_bn` (deep stems: `stem_conv1` ... `stem_bn3`), `stage1_block1_conv1` ...
`_conv3`, `_bn1` ... `_bn3`, `_se_conv1`, `_se_conv2`, `_shortcut_conv`, `_shortcut_bn`, and in the
forms with branches `stage1_block1_branch1_conv1`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from keras_resnext.layers import BatchNorm, GroupedConv2D

# Keras' momentum is the share that is kept: 0.9 is PyTorch's 0.1.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}
KERNEL_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}
EXPANSION = 4
STEM_CHANNELS = 64
SQUEEZE = 16


@dataclass(frozen=True)
class Bottleneck:
    """Sizes of one block.

    Attributes:
        planes: nominal width; the block outputs `4 * planes` channels.
        stride: of the 3x3 convolution and the shortcut, in pixels.
        cardinality: number of paths, the convolution's groups (C).
        base_width: channels per path at 64 planes (d).
        grouped_reduce: whether the first 1x1 convolution is grouped like the 3x3.
        shortcut: how the shortcut reduces the size, `"projection"` or `"average_pool"`.
        squeeze_excitation: whether the channels are scaled before the addition.
        name: prefix of the layers' names.
    """

    planes: int
    stride: int
    cardinality: int
    base_width: int
    grouped_reduce: bool
    shortcut: str
    squeeze_excitation: bool
    name: str

    @property
    def group_width(self) -> int:
        """Channels per path (D)."""
        return self.planes * self.base_width // 64

    @property
    def inner_width(self) -> int:
        """Channels of the 3x3 convolution, all paths together (C * D)."""
        return self.cardinality * self.group_width

    @property
    def out_channels(self) -> int:
        """Channels that the block outputs."""
        return self.planes * EXPANSION


def channel_axis() -> int:
    """Axis of the channels in the current image data format."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def conv(x, filters: int, kernel_size: int, name: str, stride: int = 1, groups: int = 1):
    """Convolution without bias, padded as PyTorch pads: as much before as after, at any stride."""
    padding = kernel_size // 2
    if padding and stride > 1:  # "same" would put the odd pixel after, and shift the picture
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return GroupedConv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        groups=groups,
        use_bias=False,
        kernel_initializer=KERNEL_INITIALIZER,
        name=name,
    )(x)


def batch_norm(x, name: str):
    """Batch normalization with PyTorch's constants."""
    return BatchNorm(axis=channel_axis(), **BATCH_NORM, name=name)(x)


def conv_bn_relu(x, filters: int, kernel_size: int, prefix: str, index: int, stride=1, groups=1):
    """Convolution, batch normalization, ReLU: one third of a bottleneck."""
    x = conv(x, filters, kernel_size, f"{prefix}_conv{index}", stride, groups)
    x = batch_norm(x, f"{prefix}_bn{index}")
    return layers.ReLU(name=f"{prefix}_relu{index}")(x)


def cifar_stem(x):
    """3x3 convolution to 64 channels at full size."""
    x = conv(x, STEM_CHANNELS, 3, "stem_conv")
    x = batch_norm(x, "stem_bn")
    return layers.ReLU(name="stem_relu")(x)


def imagenet_stem(x):
    """7x7 convolution to 64 channels, 3x3 max pooling, each of stride 2: a quarter of the size."""
    x = conv(x, STEM_CHANNELS, 7, "stem_conv", stride=2)
    x = batch_norm(x, "stem_bn")
    return _stem_pool(layers.ReLU(name="stem_relu")(x))


def deep_stem(x, widths: tuple[int, int]):
    """Three 3x3 convolutions, the first of stride 2, and the pooling (He et al., CVPR 2019).

    Args:
        x: images.
        widths: channels of the first two; the third has 64.
    """
    x = conv_bn_relu(x, widths[0], 3, "stem", 1, stride=2)
    x = conv_bn_relu(x, widths[1], 3, "stem", 2)
    x = conv(x, STEM_CHANNELS, 3, "stem_conv3")
    x = batch_norm(x, "stem_bn3")
    return _stem_pool(layers.ReLU(name="stem_relu")(x))


def _stem_pool(x):
    # Zeros are neutral for the maximum: the input has been through a ReLU.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def grouped(x, block: Bottleneck):
    """Form (c): 1x1, grouped 3x3, 1x1."""
    reduce_groups = block.cardinality if block.grouped_reduce else 1
    x = conv_bn_relu(x, block.inner_width, 1, block.name, 1, groups=reduce_groups)
    x = conv_bn_relu(x, block.inner_width, 3, block.name, 2, block.stride, block.cardinality)
    return conv(x, block.out_channels, 1, f"{block.name}_conv3")


def concatenated(x, block: Bottleneck):
    """Form (b): a 1x1 and a 3x3 convolution per path, the paths concatenated, then one 1x1."""
    paths = [path for path, _ in _paths(x, block)]
    if len(paths) > 1:
        paths = [layers.Concatenate(axis=channel_axis(), name=f"{block.name}_concatenate")(paths)]
    return conv(paths[0], block.out_channels, 1, f"{block.name}_conv3")


def branches(x, block: Bottleneck):
    """Form (a): a whole bottleneck per path, the paths added."""
    paths = [
        conv(path, block.out_channels, 1, f"{prefix}_conv3") for path, prefix in _paths(x, block)
    ]
    return layers.Add(name=f"{block.name}_aggregate")(paths) if len(paths) > 1 else paths[0]


def _paths(x, block: Bottleneck):
    """The first two thirds of each path, and the prefix of the path's names."""
    inputs = [x] * block.cardinality
    if block.grouped_reduce:
        inputs = keras.ops.split(x, block.cardinality, axis=channel_axis())
    for index, path in enumerate(inputs, start=1):
        prefix = f"{block.name}_branch{index}"
        path = conv_bn_relu(path, block.group_width, 1, prefix, 1)
        yield conv_bn_relu(path, block.group_width, 3, prefix, 2, block.stride), prefix


STEMS: dict[str, Callable] = {
    "cifar": cifar_stem,
    "imagenet": imagenet_stem,
    # timm's: the widths of ResNet-D, and those that rise from layer to layer.
    "deep": partial(deep_stem, widths=(32, 32)),
    "deep_tiered": partial(deep_stem, widths=(24, 32)),
}
FORMS: dict[str, Callable] = {
    "grouped": grouped,
    "concatenated": concatenated,
    "branches": branches,
}


def shortcut(x, block: Bottleneck):
    """Identity where the shape stays, else a 1x1 projection, which takes the block's stride.

    With `"average_pool"`, 2x2 averages take it before the projection, which then sees all of the
    input (He et al., CVPR 2019, ResNet-D). At odd sizes the last window is a half, as in timm.
    """
    if block.stride == 1 and x.shape[channel_axis()] == block.out_channels:
        return x
    stride = block.stride
    if block.shortcut == "average_pool" and stride > 1:
        pool = layers.AveragePooling2D(stride, padding="same", name=f"{block.name}_shortcut_pool")
        x, stride = pool(x), 1
    x = conv(x, block.out_channels, 1, f"{block.name}_shortcut_conv", stride)
    return batch_norm(x, f"{block.name}_shortcut_bn")


def squeeze_excitation(x, block: Bottleneck):
    """Scale each channel by a function of all means (Hu et al., CVPR 2018), as timm does."""
    name, channels = f"{block.name}_se", block.out_channels
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    weight = layers.Conv2D(channels // SQUEEZE, 1, activation="relu", name=f"{name}_conv1")(weight)
    weight = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_conv2")(weight)
    return layers.Multiply(name=f"{name}_scale")([x, weight])


def bottleneck(x, block: Bottleneck, form: Callable):
    """One residual block: `relu(shortcut(x) + batch_norm(form(x)))`."""
    residual = batch_norm(form(x, block), f"{block.name}_bn3")
    if block.squeeze_excitation:
        residual = squeeze_excitation(residual, block)
    x = layers.Add(name=f"{block.name}_add")([shortcut(x, block), residual])
    return layers.ReLU(name=f"{block.name}_out")(x)
