"""Keras' own format, of layers that every Keras 3 has."""

from pathlib import Path

import keras

from keras_resnext.export.cloning import rebuild
from keras_resnext.layers import BatchNorm, GroupedConv2D

PLAIN = {BatchNorm: keras.layers.BatchNormalization, GroupedConv2D: keras.layers.Conv2D}


def write(network: keras.Model, file: Path) -> None:
    """Write `.keras`, which loads where this package is not installed.

    Args:
        network: from `from_pixels`.
        file: to write.
    """

    def change(layer, config):
        config.pop("lowering", None)
        return PLAIN.get(type(layer))

    plain = rebuild(network, change, recursive=True)
    plain.set_weights(network.get_weights())
    plain.save(file)
