"""Averages of weights, beside batch normalization's statistics of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from keras_resnext.data import Batches
from keras_resnext.layers import BatchNorm


class Averages(keras.callbacks.Callback):
    """Validate with the averages that the optimizer keeps, if any, in place of the weights.

    The weights' own statistics do not fit them while the learning rate is high: 39 % of the images
    are right instead of 70 % (results/resnext20-8x8d/20-epochs). So those of the averages are
    computed before each validation, as by `torch.optim.swa_utils.update_bn` (Izmailov et al., UAI
    2018, section 3.2).

    `keras.callbacks.SwapEMAWeights` validates with the weights' statistics, rounds the weights each
    time under TensorFlow, and overwrites the averages in the last epoch, so that a run could not go
    on from there.

    Args:
        images: gives the batches to compute the statistics from, the same each time, so that a run
            resumes exactly; as many that the moving statistics of the weights are forgotten.
    """

    def __init__(self, images: Callable[[], Batches]):
        super().__init__()
        self._images = images
        self._statistics: list[np.ndarray] = []
        self._learning: _Learning | None = None

    def on_test_begin(self, logs=None):
        """Put the averages in, and compute their statistics, beginning from the weights'."""
        if _optimizer(self.model).use_ema:
            self._statistics = [_value(variable) for variable in _statistics(self.model)]
            self._swap()
            self._learning = self._learning or _Learning(self.model)
            # `predict` would gather the outputs, which several processes cannot under JAX.
            self._learning.evaluate(self._images(), verbose=0)

    def on_test_end(self, logs=None):
        """Put the weights back."""
        self._swap()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averages in as they were validated last, and the weights back in the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        optimizer = _optimizer(self.model)
        if not optimizer.use_ema:
            return
        averages = optimizer._model_variables_moving_average  # as Keras' own callback reaches them
        for variable, average in zip(self.model.trainable_variables, averages, strict=True):
            value = _value(variable)
            variable.assign(average)
            average.assign(value)
        for index, variable in enumerate(_statistics(self.model)):
            value = _value(variable)
            variable.assign(self._statistics[index])
            self._statistics[index] = value


class _Learning(keras.Model):
    """A network that learns statistics from what it is evaluated on, as in training."""

    def __init__(self, network: keras.Model):
        super().__init__(name="learning")  # TensorFlow takes no name that begins by "_"
        self.network = network
        self.compile(loss=lambda labels, logits: ops.zeros_like(logits[:, 0]))

    def call(self, images):
        return self.network(images, training=True)


def _optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of loss scaling


def _statistics(model: keras.Model) -> Iterator[keras.Variable]:
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            yield layer.moving_mean
            yield layer.moving_variance


def _value(variable: keras.Variable) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable))  # which may be a view
