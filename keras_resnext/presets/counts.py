"""Size of a preset's network, counted rather than copied from anywhere."""

from dataclasses import asdict, dataclass
from functools import cache
from math import prod

from keras_resnext.architecture import Architecture
from keras_resnext.arguments import in_data_format
from keras_resnext.counting import multiply_adds, without_values
from keras_resnext.models import ResNeXt
from keras_resnext.presets.preset import Preset


@dataclass(frozen=True)
class Counts:
    """Size of a network.

    Attributes:
        parameters: that training changes, as PyTorch and the publishers count.
        statistics: moving means and variances; Keras' own count is of both.
        multiply_adds: for one image of the preset's size (MACs).
    """

    parameters: int
    statistics: int
    multiply_adds: int


def count(preset: Preset) -> Counts:
    """Count a preset's network; nothing is downloaded, and its weights take no memory."""
    return _count(preset.architecture, preset.preprocessing.image_size, preset.classes)


@cache
def _count(architecture: Architecture, size: int, classes: int) -> Counts:
    shape = in_data_format((size, size, 3))
    network = without_values(
        lambda: ResNeXt(**asdict(architecture), input_shape=shape, classes=classes)
    )
    return Counts(
        sum(prod(weight.shape) for weight in network.trainable_weights),
        sum(prod(weight.shape) for weight in network.non_trainable_weights),
        multiply_adds(network),
    )
