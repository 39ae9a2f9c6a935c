"""Grouped convolution from dense convolutions and matrix products, in `keras.ops`."""

from dataclasses import replace

import numpy as np
from keras import ops

from keras_resnext.lowering.geometry import Geometry
from keras_resnext.native import operations

PACKED_WIDTH = 16  # channels; of 8, 16, 32 and 64 the fastest on a CPU in scripts/benchmark.py


def split(x, kernel, geometry: Geometry):
    """One dense convolution a group."""
    return packed(x, kernel, geometry, width=1)


def dense(x, kernel, geometry: Geometry):
    """One dense convolution whose kernel is block-diagonal over all groups."""
    return packed(x, kernel, geometry, width=geometry.in_channels)


def packed(x, kernel, geometry: Geometry, width: int = PACKED_WIDTH):
    """Dense convolutions over pieces of at least `width` channels, several groups to a piece.

    Groups of a few channels are too narrow for a CPU's dense convolution. Side by side under a
    block-diagonal kernel they fill its vectors, and the zeros cost less than the narrowness did.
    """
    pieces = _pieces(geometry, width)
    piece = replace(
        geometry,
        in_channels=geometry.in_channels // pieces,
        out_channels=geometry.out_channels // pieces,
        groups=1,
    )
    kernels = _block_diagonal(kernel, geometry.groups, pieces)
    if pieces == 1:
        return operations.convolution(x, kernels[0], piece)
    axis = geometry.channel_axis
    inputs = ops.split(x, pieces, axis)
    outputs = [operations.convolution(i, k, piece) for i, k in zip(inputs, kernels, strict=True)]
    return ops.concatenate(outputs, axis)


def matmul(x, kernel, geometry: Geometry):
    """A 1x1 convolution as one matrix product a group; strides drop pixels first."""
    vertical, horizontal = geometry.strides
    groups, width, filters = geometry.groups, geometry.group_width, geometry.out_channels
    if geometry.channels_first:
        x = x[:, :, ::vertical, ::horizontal]
        batch, _, height, breadth = ops.shape(x)
        x = ops.reshape(x, (batch, groups, width, height * breadth))
        kernel = ops.reshape(kernel, (width, groups, filters // groups))
        return ops.reshape(
            ops.einsum("ngip,igo->ngop", x, kernel), (batch, filters, height, breadth)
        )
    x = x[:, ::vertical, ::horizontal]
    batch, height, breadth, _ = ops.shape(x)
    pixels = batch * height * breadth
    if groups == 1:  # on two dimensions: XLA's CPU multiplies four dimensions slower
        out = ops.matmul(ops.reshape(x, (pixels, width)), kernel[0, 0])
    else:
        x = ops.reshape(x, (pixels, groups, width))
        kernel = ops.reshape(kernel, (width, groups, filters // groups))
        out = ops.einsum("pgi,igo->pgo", x, kernel)
    return ops.reshape(out, (batch, height, breadth, filters))


def _pieces(geometry: Geometry, width: int) -> int:
    """As many pieces of whole groups as leave at least `width` channels to each."""
    groups = geometry.groups
    divisors = [pieces for pieces in range(1, groups + 1) if groups % pieces == 0]
    return max(d for d in divisors if d == 1 or geometry.in_channels // d >= width)


def _block_diagonal(kernel, groups: int, pieces: int) -> list:
    """Kernel (kh, kw, I/groups, O) -> `pieces` dense kernels (kh, kw, I/pieces, O/pieces)."""
    depth, filters = kernel.shape[2:]
    together = groups // pieces
    if together > 1:
        inputs = np.arange(together * depth)[:, None] // depth
        outputs = np.arange(filters)[None, :] // (filters // groups) % together
        kernel = ops.where(inputs == outputs, ops.tile(kernel, (1, 1, together, 1)), 0)
    return ops.split(kernel, pieces, -1)
