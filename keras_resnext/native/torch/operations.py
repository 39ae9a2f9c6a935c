"""PyTorch's own operations."""

from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist

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


def batch_normalize(x, gamma, beta, axis: int, epsilon: float, synchronized: bool = False):
    """`batch_norm` on a channels_last view: half the time of Keras' elementwise steps on a CPU."""
    if synchronized and dist.is_initialized():
        return _batch_normalize_together(x, gamma, beta, axis, epsilon)
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    # With momentum 1 the running statistics become the batch's own.
    out = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon
    )
    return out.movedim(1, axis), mean, variance


def _batch_normalize_together(x, gamma, beta, axis: int, epsilon: float):
    """By the statistics of all processes, whose parts of the batch are of one size.

    `torch.nn.SyncBatchNorm` works on GPUs only. The mean is agreed on before the deviations from
    it are squared, because the mean square less the squared mean would cancel.
    """
    others = [a for a in range(x.ndim) if a != axis]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = _MeanOfProcesses.apply(wide.mean(others, keepdim=True))
    deviation = wide - mean
    variance = _MeanOfProcesses.apply(deviation.square().mean(others, keepdim=True))
    gamma, beta = gamma.view(mean.shape), beta.view(mean.shape)
    out = deviation * (gamma * torch.rsqrt(variance + epsilon)) + beta
    count = x.numel() // x.shape[axis] * dist.get_world_size()
    unbiased = variance * (count / max(count - 1, 1))
    return out.to(x.dtype), mean.detach().flatten(), unbiased.detach().flatten()


class _MeanOfProcesses(torch.autograd.Function):
    """Mean over the processes, whose losses are averaged, too.

    `torch.distributed.nn.functional.all_reduce` is deprecated, and its successor private.
    """

    @staticmethod
    def forward(ctx, tensor):
        return _mean_of_processes(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return _mean_of_processes(gradient)


def _mean_of_processes(tensor):
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)  # gloo knows no mean
    return total / dist.get_world_size()
