"""Stems, the bottleneck block in its three forms, and shortcuts (Xie et al., sections 3 and 4).

Every function takes and returns a Keras tensor of the functional API, channels where
`keras.config.image_data_format()` says. Layer names follow one rule, which weight conversion
walks: `stem_conv`, `stem_bn` (deep stems: `stem_conv1` ... `stem_bn3`), `stage1_block1_conv1` ...
`_conv3`, `_bn1` ... `_bn3`, `_se_conv1`, `_se_conv2`, `_shortcut_conv`, `_shortcut_bn`, and in the
forms with branches `stage1_block1_branch1_conv1`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
from keras import layers

from keras_resnext.architecture import STEMS, Architecture
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
class Block:
    """Sizes of one block.

    Attributes:
        architecture: of the network.
        name: prefix of the layers' names.
        in_channels: channels that it gets.
        planes: nominal width; the block outputs `4 * planes` channels.
        stride: of the 3x3 convolution and the shortcut, in pixels.
    """

    architecture: Architecture
    name: str
    in_channels: int
    planes: int
    stride: int

    @property
    def group_width(self) -> int:
        """Channels per path (D)."""
        return self.planes * self.architecture.base_width // 64

    @property
    def inner_width(self) -> int:
        """Channels of the 3x3 convolution, all paths together (C * D)."""
        return self.architecture.cardinality * self.group_width

    @property
    def out_channels(self) -> int:
        """Channels that it outputs."""
        return self.planes * EXPANSION

    @property
    def reduce_groups(self) -> int:
        """Groups of the first 1x1 convolution."""
        return self.architecture.cardinality if self.architecture.reduce == "grouped" else 1

    @property
    def has_projection(self) -> bool:
        """Whether its shortcut changes the shape."""
        return self.stride > 1 or self.in_channels != self.out_channels


def blocks(architecture: Architecture) -> Iterator[Block]:
    """Sizes of all blocks of a network, from the first."""
    channels = STEM_CHANNELS
    for stage, count in enumerate(architecture.stage_blocks, start=1):
        for index in range(1, count + 1):
            name, stride = f"stage{stage}_block{index}", 2 if stage > 1 and index == 1 else 1
            block = Block(architecture, name, channels, STEM_CHANNELS * 2 ** (stage - 1), stride)
            yield block
            channels = block.out_channels


def kernel_shapes(architecture: Architecture, channels: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the convolutions' kernels by layer, in form (c), for images of some channels."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (size, filters) in enumerate(STEMS[architecture.stem], start=1):
        name = f"stem_conv{index}" if len(STEMS[architecture.stem]) > 1 else "stem_conv"
        shapes[name] = (size, size, channels, filters)
        channels = filters
    for block in blocks(architecture):
        name, inner, out = block.name, block.inner_width, block.out_channels
        shapes[f"{name}_conv1"] = (1, 1, block.in_channels // block.reduce_groups, inner)
        shapes[f"{name}_conv2"] = (3, 3, block.group_width, inner)
        shapes[f"{name}_conv3"] = (1, 1, inner, out)
        if block.has_projection:
            shapes[f"{name}_shortcut_conv"] = (1, 1, block.in_channels, out)
        if architecture.squeeze_excitation:
            shapes[f"{name}_se_conv1"] = (1, 1, out, out // SQUEEZE)
            shapes[f"{name}_se_conv2"] = (1, 1, out // SQUEEZE, out)
    return shapes


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


def stem(x, kind: str):
    """The convolutions before the first stage; but for `"cifar"`, they quarter the size.

    `"imagenet"` is a 7x7 convolution and a 3x3 max pooling, each of stride 2; the deep ones have
    three 3x3 convolutions instead (He et al., CVPR 2019), of rising width in timm's "tiered".
    """
    stride, count = 1 if kind == "cifar" else 2, len(STEMS[kind])
    for index, (kernel_size, filters) in enumerate(STEMS[kind], start=1):
        number = index if count > 1 else ""
        x = conv(x, filters, kernel_size, f"stem_conv{number}", stride)
        x = batch_norm(x, f"stem_bn{number}")
        x = layers.ReLU(name=f"stem_relu{'' if index == count else index}")(x)
        stride = 1
    if kind == "cifar":
        return x
    # Zeros are neutral for the maximum: the input has been through a ReLU.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def grouped(x, block: Block):
    """Form (c): 1x1, grouped 3x3, 1x1."""
    width, cardinality = block.inner_width, block.architecture.cardinality
    x = conv_bn_relu(x, width, 1, block.name, 1, groups=block.reduce_groups)
    x = conv_bn_relu(x, width, 3, block.name, 2, block.stride, cardinality)
    return conv(x, block.out_channels, 1, f"{block.name}_conv3")


def concatenated(x, block: Block):
    """Form (b): a 1x1 and a 3x3 convolution per path, the paths concatenated, then one 1x1."""
    paths = [path for path, _ in _paths(x, block)]
    if len(paths) > 1:
        paths = [layers.Concatenate(axis=channel_axis(), name=f"{block.name}_concatenate")(paths)]
    return conv(paths[0], block.out_channels, 1, f"{block.name}_conv3")


def branches(x, block: Block):
    """Form (a): a whole bottleneck per path, the paths added."""
    paths = [
        conv(path, block.out_channels, 1, f"{prefix}_conv3") for path, prefix in _paths(x, block)
    ]
    return layers.Add(name=f"{block.name}_aggregate")(paths) if len(paths) > 1 else paths[0]


def _paths(x, block: Block):
    """The first two thirds of each path, and the prefix of the path's names."""
    inputs = [x] * block.architecture.cardinality
    if block.reduce_groups > 1:
        inputs = keras.ops.split(x, block.reduce_groups, axis=channel_axis())
    for index, path in enumerate(inputs, start=1):
        prefix = f"{block.name}_branch{index}"
        path = conv_bn_relu(path, block.group_width, 1, prefix, 1)
        yield conv_bn_relu(path, block.group_width, 3, prefix, 2, block.stride), prefix


FORMS: dict[str, Callable] = {
    "grouped": grouped,
    "concatenated": concatenated,
    "branches": branches,
}


def shortcut(x, block: Block):
    """Identity where the shape stays, else a 1x1 projection, which takes the block's stride.

    With `"average_pool"`, 2x2 averages take it before the projection, which then sees all of the
    input (He et al., CVPR 2019, ResNet-D). At odd sizes the last window is a half, as in timm.
    """
    if not block.has_projection:
        return x
    stride = block.stride
    if block.architecture.shortcut == "average_pool" and stride > 1:
        pool = layers.AveragePooling2D(stride, padding="same", name=f"{block.name}_shortcut_pool")
        x, stride = pool(x), 1
    x = conv(x, block.out_channels, 1, f"{block.name}_shortcut_conv", stride)
    return batch_norm(x, f"{block.name}_shortcut_bn")


def squeeze_excitation(x, block: Block):
    """Scale each channel by a function of all means (Hu et al., CVPR 2018), as timm does."""
    name, channels = f"{block.name}_se", block.out_channels
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    weight = layers.Conv2D(channels // SQUEEZE, 1, activation="relu", name=f"{name}_conv1")(weight)
    weight = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_conv2")(weight)
    return layers.Multiply(name=f"{name}_scale")([x, weight])


def bottleneck(x, block: Block, form: Callable):
    """One residual block: `relu(shortcut(x) + batch_norm(form(x)))`."""
    residual = batch_norm(form(x, block), f"{block.name}_bn3")
    if block.architecture.squeeze_excitation:
        residual = squeeze_excitation(residual, block)
    x = layers.Add(name=f"{block.name}_add")([shortcut(x, block), residual])
    return layers.ReLU(name=f"{block.name}_out")(x)
