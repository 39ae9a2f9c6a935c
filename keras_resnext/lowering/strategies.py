"""Grouped convolution from dense convolutions and matrix products, in `keras.ops`."""

from dataclasses import replace

from keras import ops

from keras_resnext.lowering.geometry import Geometry
from keras_resnext.lowering.native import convolution

PACKED_WIDTH = 16  # input channels a piece; measured by scripts/benchmark.py, see table.py


def split(x, kernel, geometry: Geometry):
    """One dense convolution a group."""
    return packed(x, kernel, geometry, width=1)


def dense(x, kernel, geometry: Geometry):
    """One dense convolution whose kernel is block-diagonal over all groups."""
    return packed(x, kernel, geometry, width=geometry.in_channels)


def packed(x, kernel, geometry: Geometry, width: int = PACKED_WIDTH):
    """Dense convolutions over pieces of at least `width` channels, several groups to a piece.

    Groups of a few channels are too narrow for a CPU's dense convolution. Packed side by side
    under a block-diagonal kernel they fill its vectors; the zeros cost less than the narrowness.
    """
    pieces = _pieces(geometry, width)
    each = replace(
        geometry,
        in_channels=geometry.in_channels // pieces,
        out_channels=geometry.out_channels // pieces,
        groups=1,
    )
    kernels = _block_diagonal(kernel, geometry.groups, pieces)
    if pieces == 1:
        return convolution(x, kernels[0], each)
    axis = geometry.channel_axis
    inputs = ops.split(x, pieces, axis)
    return ops.concatenate([convolution(i, k, each) for i, k in zip(inputs, kernels)], axis)


def matmul(x, kernel, geometry: Geometry):
    """A 1x1 convolution as one matrix product a group; strides drop pixels first."""
    vertical, horizontal = geometry.strides
    last = geometry.data_format == "channels_last"
    if geometry.strides != (1, 1):
        x = x[:, ::vertical, ::horizontal] if last else x[:, :, ::vertical, ::horizontal]
    groups = geometry.groups
    kernel = ops.reshape(kernel, (geometry.group_width, groups, -1))
    if not last:
        shape = ops.shape(x)
        x = ops.reshape(x, (-1, groups, geometry.group_width, shape[2] * shape[3]))
        out = ops.einsum("ngip,igo->ngop", x, kernel)
        return ops.reshape(out, (-1, geometry.out_channels, shape[2], shape[3]))
    shape = ops.shape(x)
    if groups == 1:  # two dimensions: XLA's CPU product is slower on four
        out = ops.matmul(ops.reshape(x, (-1, geometry.in_channels)), kernel[:, 0])
    else:
        x = ops.reshape(x, (-1, groups, geometry.group_width))
        out = ops.einsum("pgi,igo->pgo", x, kernel)
    return ops.reshape(out, (-1, shape[1], shape[2], geometry.out_channels))


def _pieces(geometry: Geometry, width: int) -> int:
    """The most pieces of whole groups that have at least `width` channels each."""
    groups = geometry.groups
    return max(
        p for p in range(1, groups + 1) if groups % p == 0 and (p == 1 or geometry.in_channels // p >= width)
    )


def _block_diagonal(kernel, groups: int, pieces: int) -> list:
    """Kernel (kh, kw, I/groups, O) -> `pieces` dense kernels (kh, kw, I/pieces, O/pieces)."""
    kh, kw, depth, out = kernel.shape
    if pieces == groups:
        return ops.split(kernel, pieces, -1)
    together = groups // pieces
    kernel = ops.reshape(kernel, (kh, kw, 1, depth, pieces, together, out // groups))
    eye = ops.reshape(ops.eye(together, dtype=kernel.dtype), (together, 1, 1, together, 1))
    blocks = ops.reshape(kernel * eye, (kh, kw, together * depth, pieces, -1))
    return [blocks[:, :, :, p] for p in range(pieces)]
