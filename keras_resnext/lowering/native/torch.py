"""PyTorch's own operations."""

from collections.abc import Callable

import torch

from keras_resnext.lowering.geometry import Geometry


def convolution(x, kernel, geometry: Geometry):
    """`conv2d` on a channels_last view of NHWC: Keras copies the input twice."""
    last = geometry.data_format == "channels_last"
    if last:
        x = x.permute(0, 3, 1, 2)
    padding: int | tuple[int, ...] = 0
    if geometry.padding == "same":
        x, padding = _same(x, geometry)
    out = torch.nn.functional.conv2d(
        x,
        kernel.permute(3, 2, 0, 1),
        stride=geometry.strides,
        padding=padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    return out.permute(0, 2, 3, 1) if last else out


def _same(x, geometry: Geometry):
    """TensorFlow's "same": the input, padded where before and after differ, and what is left."""
    before, after = [], []
    for size, kernel, stride, dilation in zip(
        x.shape[2:], geometry.kernel_size, geometry.strides, geometry.dilation, strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    if before == after:
        return x, tuple(before)
    return torch.nn.functional.pad(x, (before[1], after[1], before[0], after[0])), 0


def normalize(x, gamma, beta, axis: int, epsilon: float):
    """`batch_norm` on a channels_last view: half the time of Keras' elementwise steps on a CPU."""
    channels_first = x.movedim(axis, 1)
    out, mean, inverse_deviation = torch.native_batch_norm(
        channels_first, gamma, beta, None, None, True, 0.0, epsilon
    )
    variance = inverse_deviation.detach().pow(-2).sub(epsilon)
    return out.movedim(1, axis), mean.detach(), variance


def by_device(x, kernel, cpu: Callable, other: Callable):
    """Where the input lies."""
    return (cpu if x.device.type == "cpu" else other)(x, kernel)
