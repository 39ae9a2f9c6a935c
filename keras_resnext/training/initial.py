"""Weights to begin with, from another training."""

import warnings
from pathlib import Path

import keras

from keras_resnext.safe import check_model_file, reason

HEAD = "predictions"


def load_initial_weights(model: keras.Model, source: Path) -> bool:
    """Load weights by place; the classifier stays fresh where it has other classes.

    Args:
        model: a network with its classifier.
        source: `NAME.weights.h5`, `NAME.keras`, or the folder of a run (its best weights).

    Returns:
        Whether the classifier's weights were loaded too.

    Raises:
        ValueError: there is nothing, or the weights belong to another network.
    """
    path = source / "best.weights.h5" if source.is_dir() else source
    if not path.is_file() or not path.name.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f"initial_weights: expected NAME.weights.h5, NAME.keras or the folder of a run, found "
            f"none at {source}"
        )
    if path.suffix == ".keras":
        check_model_file(path)
    backbone = keras.Model(model.input, model.get_layer(HEAD).input)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they announce, the errors say
            backbone.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"initial_weights: {path} does not fit {model.name}: {reason(error)}"
        ) from error
    try:
        model.load_weights(path)
    except ValueError:
        return False
    return True
