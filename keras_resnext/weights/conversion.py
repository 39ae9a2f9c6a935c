"""Weights from one library's files into another's."""

from dataclasses import asdict
from pathlib import Path

import keras

from keras_resnext.files import write_weights
from keras_resnext.models import ResNeXt
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.loading import load_weights, read_weights


def network_of(weights: LayerWeights, source: Path) -> keras.Model:
    """Build the network that a file's weights are of, and load them.

    Args:
        weights: what `read_weights` gave of `source`.
        source: the file.

    Raises:
        ValueError: they are of no ResNeXt.
    """
    architecture = weights.architecture()
    if architecture is None:
        raise ValueError(f"weights: {source} holds no whole ResNeXt")
    model = ResNeXt(
        **asdict(architecture),
        include_top=weights.classes is not None,
        classes=weights.classes,
        name=source.name.split(".")[0].replace("-", "_"),
    )
    load_weights(model, weights, source)
    return model


def convert(source: Path, target: Path) -> None:
    """Write the weights of a file as Keras' `.weights.h5`.

    Args:
        source: of torchvision, timm, keras-applications or the original code.
        target: where to; whole or not at all.

    Raises:
        ValueError: they are of no ResNeXt.
        OSError: `target` cannot be written.
    """
    write_weights(target, network_of(read_weights(source), source))
