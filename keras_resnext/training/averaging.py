"""Averages of the weights (EMA): put in the weights' place to validate and to save."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Let the model have the averages that its optimizer keeps; where it keeps none, do nothing.

    Args:
        model: compiled, its optimizer built.
    """
    _swap(model)
    try:
        yield
    finally:
        _swap(model)


class ValidateAverages(keras.callbacks.Callback):
    """Validate with the averages.

    `keras.callbacks.SwapEMAWeights` swaps by adding and subtracting under TensorFlow, which rounds
    the weights at each validation, and overwrites the averages in the last epoch, so that a run
    could not go on from there.
    """

    def on_test_begin(self, logs=None):
        """Put the averages in."""
        _swap(self.model)

    def on_test_end(self, logs=None):
        """Put the weights back."""
        _swap(self.model)


def _swap(model: keras.Model) -> None:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # loss scaling's
    if not optimizer.use_ema:
        return
    averages = optimizer._model_variables_moving_average  # as Keras' own callback reaches them
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        value = np.array(ops.convert_to_numpy(variable))  # may be a view
        variable.assign(average)
        average.assign(value)
