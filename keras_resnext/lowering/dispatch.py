"""From a lowering's name to its arithmetic."""

from functools import partial

from keras_resnext.lowering import native, strategies
from keras_resnext.lowering.geometry import Geometry
from keras_resnext.lowering.table import choose

_WAYS = {
    "native": native.convolution,
    "matmul": strategies.matmul,
    "packed": strategies.packed,
    "split": strategies.split,
    "dense": strategies.dense,
}
LOWERINGS = ("auto", *_WAYS)


def grouped_conv2d(x, kernel, geometry: Geometry, lowering: str = "auto"):
    """Convolve `x` with `kernel` in groups.

    Args:
        x: 4D tensor of the backend, laid out as `geometry.data_format` says.
        kernel: tensor (kernel height, kernel width, in_channels / groups, out_channels).
        geometry: the static facts of the convolution.
        lowering: one of `LOWERINGS`; `"auto"` takes what the table says for the device.
    """
    if lowering != "auto":
        return _WAYS[lowering](x, kernel, geometry)
    cpu, other = (choose(native.BACKEND, device, geometry) for device in ("cpu", "gpu"))
    if cpu == other:
        return _WAYS[cpu](x, kernel, geometry)
    return native.by_device(
        x,
        kernel,
        cpu=partial(_WAYS[cpu], geometry=geometry),
        other=partial(_WAYS[other], geometry=geometry),
    )
