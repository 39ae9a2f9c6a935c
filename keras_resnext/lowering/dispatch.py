"""From a lowering's name to its arithmetic."""

from functools import partial

from keras_resnext.lowering import strategies
from keras_resnext.lowering.geometry import Geometry
from keras_resnext.lowering.table import choose
from keras_resnext.native import BACKEND, operations

WAYS = {
    "native": operations.convolution,
    "matmul": strategies.matmul,
    "packed": strategies.packed,
    "split": strategies.split,
    "dense": strategies.dense,
}
LOWERINGS = ("auto", *WAYS)


def grouped_conv2d(x, kernel, geometry: Geometry, lowering: str = "auto"):
    """Convolve `x` with `kernel` in groups.

    Args:
        x: 4D tensor of the backend, laid out as `geometry.data_format` says.
        kernel: tensor (kernel height, kernel width, in_channels / groups, out_channels).
        geometry: the static facts of the convolution.
        lowering: one of `LOWERINGS`; `"auto"` takes what the table says for the device.
    """
    if lowering != "auto":
        return WAYS[lowering](x, kernel, geometry)
    choices = {device: choose(BACKEND, device, geometry) for device in operations.DEVICES}
    if len(set(choices.values())) == 1:
        return WAYS[choices["cpu"]](x, kernel, geometry)
    ways = {device: partial(WAYS[name], geometry=geometry) for device, name in choices.items()}
    return operations.by_device(x, kernel, ways)
