import keras
import numpy as np
import pytest

from keras_resnext.training.averaging import ValidateAverages, averaged
from keras_resnext.training.optimizer import CoupledSGD

DECAY = 0.8
X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [3.0]], "float32")


class Record(keras.callbacks.Callback):
    """Weights after each step, and during validation."""

    def __init__(self):
        super().__init__()
        self.steps, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.model.get_weights()  # JAX: has the state come back into the variables
        self.steps.append(self.weight())

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(self.weight())

    def weight(self):
        return np.array(self.model.get_weights()[0])


@pytest.fixture
def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    sgd = CoupledSGD(0.05, 0.9, use_ema=True, ema_momentum=DECAY)
    network.compile(sgd, "mse", metrics=["mse"])
    return network


def test_validates_the_averages_and_trains_on_with_the_weights(model):
    record = Record()
    for epoch in range(2):  # two fits, as where an epoch is resumed
        model.fit(
            X,
            Y,
            batch_size=8,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            validation_data=(X, Y),
            validation_batch_size=24,
            callbacks=[ValidateAverages(), record],
            verbose=0,
        )
    expected = record.steps[0]
    for number, weight in enumerate(record.steps[1:], start=2):
        expected = DECAY * expected + (1 - DECAY) * weight
        if number in (3, 6):
            np.testing.assert_allclose(record.validated[number // 3 - 1], expected, rtol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], record.steps[-1])
    with averaged(model):
        np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], record.steps[-1])


def test_does_nothing_without_averages(model):
    model.compile(CoupledSGD(0.05), "mse")
    before = model.get_weights()[0]
    with averaged(model):
        np.testing.assert_array_equal(model.get_weights()[0], before)
