"""How one grouped convolution is computed, and which way is fastest where.

The ways that the backends lack are built from `keras.ops` and the backend's dense convolution;
`TABLE` holds the measured choice (`python scripts/benchmark/layers.py`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_resnext import backend

PACKED_WIDTH = 16  # channels; of 8, 16, 32 and 64 the fastest on a CPU


@dataclass(frozen=True)
class Geometry:
    """Static facts of one 2D convolution.

    Attributes:
        in_channels: input channels, all groups together.
        out_channels: output channels, all groups together.
        groups: number of groups (the cardinality); 1 is a dense convolution.
        kernel_size: height and width in pixels.
        strides: vertical and horizontal, in pixels.
        dilation: vertical and horizontal, in pixels.
        padding: `"valid"` or `"same"`, which pads as TensorFlow does: the odd pixel goes after.
        data_format: `"channels_last"` or `"channels_first"`.
    """

    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "same"
    data_format: str = "channels_last"

    @property
    def channels_first(self) -> bool:
        """Whether tensors are (batch, channels, height, width)."""
        return self.data_format == "channels_first"

    @property
    def channel_axis(self) -> int:
        """Axis of the channels in a 4D tensor."""
        return 1 if self.channels_first else -1


def native(x, kernel, geometry: Geometry):
    """The backend's own grouped convolution."""
    return backend.native.convolution(x, kernel, geometry)


def packed(x, kernel, geometry: Geometry, width: float = PACKED_WIDTH):
    """Dense convolutions over pieces of at least `width` channels, several groups per piece.

    Groups of a few channels are too narrow for a CPU's dense convolution. Side by side under a
    block-diagonal kernel they fill its vectors, and the zeros cost less than the narrowness did.
    """
    divisors = [n for n in range(1, geometry.groups + 1) if geometry.groups % n == 0]
    pieces = max(n for n in divisors if n == 1 or geometry.in_channels // n >= width)
    piece = replace(
        geometry,
        in_channels=geometry.in_channels // pieces,
        out_channels=geometry.out_channels // pieces,
        groups=1,
    )
    kernels = _block_diagonal(kernel, geometry.groups, pieces)
    inputs = ops.split(x, pieces, geometry.channel_axis)
    outputs = [native(i, k, piece) for i, k in zip(inputs, kernels, strict=True)]
    return ops.concatenate(outputs, geometry.channel_axis) if pieces > 1 else outputs[0]


def _block_diagonal(kernel, groups: int, pieces: int) -> list:
    """Kernel (kh, kw, I/groups, O) -> `pieces` dense kernels (kh, kw, I/pieces, O/pieces)."""
    depth, filters = kernel.shape[2:]
    together = groups // pieces
    if together > 1:
        inputs = np.arange(together * depth)[:, None] // depth
        outputs = np.arange(filters)[None, :] // (filters // groups) % together
        kernel = ops.where(inputs == outputs, ops.tile(kernel, (1, 1, together, 1)), 0)
    return ops.split(kernel, pieces, -1)


def matmul(x, kernel, geometry: Geometry):
    """A 1x1 convolution as one matrix product per group; strides drop pixels first."""
    vertical, horizontal = geometry.strides
    groups, filters = geometry.groups, geometry.out_channels
    width = geometry.in_channels // groups
    kernel = ops.reshape(kernel, (width, groups, filters // groups))
    if geometry.channels_first:
        x = x[:, :, ::vertical, ::horizontal]
        batch, _, height, breadth = ops.shape(x)
        x = ops.reshape(x, (batch, groups, width, height * breadth))
        out = ops.einsum("ngip,igo->ngop", x, kernel)
        return ops.reshape(out, (batch, filters, height, breadth))
    x = x[:, ::vertical, ::horizontal]
    batch, height, breadth, _ = ops.shape(x)
    pixels = batch * height * breadth
    if groups == 1:  # on two dimensions: XLA's CPU multiplies four dimensions slower
        out = backend.native.matmul(ops.reshape(x, (pixels, width)), kernel[:, 0])
    else:
        out = ops.einsum("pgi,igo->pgo", ops.reshape(x, (pixels, groups, width)), kernel)
    return ops.reshape(out, (batch, height, breadth, filters))


WAYS: dict[str, Callable] = {
    "native": native,
    "matmul": matmul,
    "packed": packed,
    "split": partial(packed, width=1),  # one dense convolution per group
    "dense": partial(packed, width=math.inf),  # a single one
}
LOWERINGS = ("auto", *WAYS)


class Row(NamedTuple):
    """What one backend computes fastest with some convolutions on one kind of device."""

    backend: str
    device: str
    fits: Callable[[Geometry], bool]
    lowering: str


def _pointwise(geometry: Geometry) -> bool:
    return geometry.kernel_size == (1, 1)


def _dense_pointwise(geometry: Geometry) -> bool:
    return _pointwise(geometry) and geometry.groups == 1 and not geometry.channels_first


def _grouped(geometry: Geometry) -> bool:
    return geometry.groups > 1


# The first row that fits counts; where none does, the backend's own convolution is fastest, as it
# always is on a GPU (measured on an H200).
TABLE = (
    Row("jax", "cpu", _pointwise, "matmul"),
    Row("jax", "cpu", _grouped, "packed"),
    Row("torch", "cpu", _dense_pointwise, "matmul"),  # a convolution would copy the kernel
    Row("tensorflow", "cpu without grouped gradient", _grouped, "packed"),
)


def choose(name: str, device: str, geometry: Geometry) -> str:
    """Return the lowering that `"auto"` stands for.

    Args:
        name: of the backend.
        device: one of `DEVICES` of that backend.
        geometry: of the convolution.
    """
    for row in TABLE:
        if (row.backend, row.device) == (name, device) and row.fits(geometry):
            return row.lowering
    return "native"


def grouped_conv2d(x, kernel, geometry: Geometry, lowering: str = "auto"):
    """Convolve `x` with `kernel` in groups.

    Args:
        x: 4D tensor of the backend, laid out as `geometry.data_format` says.
        kernel: tensor (kernel height, kernel width, in_channels / groups, out_channels).
        geometry: the static facts of the convolution.
        lowering: one of `LOWERINGS`; `"auto"` takes what `TABLE` says for the device.

    Returns:
        4D tensor of the dtype of `x`.
    """
    devices = backend.native.DEVICES
    if lowering == "auto":
        chosen = {device: choose(backend.NAME, device, geometry) for device in devices}
    else:
        chosen = dict.fromkeys(devices, lowering)
    ways = {name: partial(WAYS[name], geometry=geometry) for name in chosen.values()}
    return backend.native.by_device(x, kernel, {d: ways[name] for d, name in chosen.items()})
