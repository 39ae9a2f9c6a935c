"""A slow grouped convolution to test against: dense, block-diagonal, tap by tap, in float64."""

from itertools import product

import numpy as np


def pads(size, kernel, stride, dilation, padding):
    """(before, after) as TensorFlow pads, and the size of the output."""
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        return (0, 0), (size - reach) // stride + 1
    out = -(-size // stride)
    total = max((out - 1) * stride + reach - size, 0)
    return (total // 2, total - total // 2), out


def block_diagonal(kernel, groups):
    """(kh, kw, I/groups, O) -> (kh, kw, I, O)."""
    kh, kw, depth, filters = kernel.shape
    width = filters // groups
    whole = np.zeros((kh, kw, depth * groups, filters))
    for g in range(groups):
        rows, columns = slice(g * depth, (g + 1) * depth), slice(g * width, (g + 1) * width)
        whole[:, :, rows, columns] = kernel[..., columns]
    return whole


def convolve(x, kernel, cotangent_seed, *, groups, strides, dilation, padding):
    """NHWC. Returns outputs, a random cotangent, and the gradients of x and kernel under it."""
    x, kernel = x.astype(np.float64), kernel.astype(np.float64)
    batch, *sizes, _ = x.shape
    kh, kw, depth, filters = kernel.shape
    (vertical, height), (horizontal, width) = (
        pads(n, k, s, d, padding)
        for n, k, s, d in zip(sizes, (kh, kw), strides, dilation, strict=True)
    )
    padded = np.pad(x, ((0, 0), vertical, horizontal, (0, 0)))
    whole = block_diagonal(kernel, groups)

    def window(i, j):
        top, left = i * dilation[0], j * dilation[1]
        return np.s_[
            :,
            top : top + (height - 1) * strides[0] + 1 : strides[0],
            left : left + (width - 1) * strides[1] + 1 : strides[1],
        ]

    taps = list(product(range(kh), range(kw)))
    out = sum(padded[window(i, j)] @ whole[i, j] for i, j in taps)
    cotangent = np.random.default_rng(cotangent_seed).standard_normal(out.shape)
    cotangent = cotangent.astype(np.float32).astype(np.float64)
    padded_gradient, whole_gradient = np.zeros_like(padded), np.zeros_like(whole)
    for i, j in taps:
        padded_gradient[window(i, j)] += cotangent @ whole[i, j].T
        whole_gradient[i, j] = np.einsum("nhwi,nhwo->io", padded[window(i, j)], cotangent)
    x_gradient = padded_gradient[
        :, vertical[0] : vertical[0] + sizes[0], horizontal[0] : horizontal[0] + sizes[1]
    ]
    own = filters // groups
    kernel_gradient = np.concatenate(
        [
            whole_gradient[:, :, g * depth : (g + 1) * depth, g * own : (g + 1) * own]
            for g in range(groups)
        ],
        -1,
    )
    assert out.shape == (batch, height, width, filters)
    return out, cotangent, x_gradient, kernel_gradient
