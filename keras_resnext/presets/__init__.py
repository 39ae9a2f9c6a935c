"""Published weights: one table, and how to find a row of it."""

from keras_resnext.presets.find import find_preset, names
from keras_resnext.presets.preset import Preset
from keras_resnext.presets.table import PRESETS

__all__ = ["PRESETS", "Preset", "find_preset", "names"]
