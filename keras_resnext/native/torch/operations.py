"""PyTorch's own operations."""

from collections.abc import Callable, Mapping

import torch

from keras_resnext.lowering.geometry import Geometry

DEVICES: tuple[str, ...] = ("cpu", "gpu")


def convolution(x, kernel, geometry: Geometry):
    """`conv2d` on a channels_last view of NHWC: Keras copies the input twice."""
    if not geometry.channels_first:
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
    return out if geometry.channels_first else out.permute(0, 2, 3, 1)


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


def by_device(x, kernel, ways: Mapping[str, Callable]):
    """Where the input lies decides."""
    return ways["cpu" if x.device.type == "cpu" else "gpu"](x, kernel)


def batch_normalize(x, gamma, beta, axis: int, epsilon: float):
    """`batch_norm` on a channels_last view: half the time of Keras' elementwise steps on a CPU."""
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    # With momentum 1 the running statistics become the batch's own.
    out = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon
    )
    return out.movedim(1, axis), mean, variance
