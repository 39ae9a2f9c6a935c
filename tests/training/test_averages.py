"""Averages of weights, validated beside statistics of their own."""

from functools import partial

import keras
import numpy as np

from keras_resnext import BatchNorm
from keras_resnext.training.averages import Averages
from keras_resnext.training.network import (
    compiled_network,
    resolve,
    statistics_batches,
    training_batches,
)
from keras_resnext.training.optimizer import CoupledSGD
from tests.training.tiny import SETTINGS, shrink, tiny_demo

BATCH = 8


class Record(keras.callbacks.Callback):
    """Kernel, moving mean and moving variance after each step, and during validation."""

    def __init__(self):
        super().__init__()
        self.steps, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.model.get_weights()  # JAX: has the state come back into the variables
        self.steps.append(self.values())

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(self.values())

    def values(self):
        kernel, _, _, *statistics = map(np.array, self.model.get_weights())
        return kernel, *statistics


class Images(keras.utils.PyDataset):
    """The images in order."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // BATCH

    def __getitem__(self, index):
        return self.images[BATCH * index :][:BATCH], np.zeros(BATCH)


def test_validates_the_averages_by_their_own_statistics_and_trains_on_with_the_weights():
    decay = 0.3  # reached after four steps of six
    x = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
    y = x @ np.array([[1.0], [2.0], [3.0]], "float32")
    layers = [keras.Input((3,)), keras.layers.Dense(1, use_bias=False), BatchNorm(momentum=0.9)]
    model = keras.Sequential(layers)
    sgd = CoupledSGD(0.05, 0.9, use_ema=True, ema_momentum=decay)
    model.compile(sgd, "mse", metrics=["mse"])
    record, averages = Record(), Averages(lambda: Images(x))
    for epoch in range(2):  # two fits, as where an epoch is resumed
        model.fit(
            x,
            y,
            batch_size=BATCH,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            validation_data=(x, y),
            validation_batch_size=24,
            callbacks=[averages, record],
            verbose=0,
        )
    average, expected = 0.0, []
    for n, (kernel, mean, variance) in enumerate(record.steps):
        kept = min(decay, n / (9 + n))
        average = kept * average + (1 - kept) * kernel
        if n in (2, 5):  # as an epoch ends
            for batch in np.split(x, 3):
                outputs = batch @ average
                mean = 0.9 * mean + 0.1 * outputs.mean(0)
                variance = 0.9 * variance + 0.1 * outputs.var(0)
            expected.append((average, mean, variance))
    for found, wanted in zip(record.validated, expected, strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    np.testing.assert_equal(record.values(), record.steps[-1])
    with averages.in_place():
        np.testing.assert_equal(record.values(), record.validated[-1])
    np.testing.assert_equal(record.values(), record.steps[-1])


def test_averages_of_many_steps_are_soon_worth_validating(monkeypatch):
    shrink(monkeypatch)
    dataset = tiny_demo()
    changes = {"ema_decay": 0.999, "learning_rate": 0.05, "epochs": 8, "crop_padding": 0}
    settings = resolve(SETTINGS.change(**changes))
    model = compiled_network(settings, dataset, 5)
    batches = training_batches(settings, dataset, workers=0)
    averages = Averages(partial(statistics_batches, settings, dataset))
    model.fit(
        batches,
        epochs=8,
        shuffle=False,
        verbose=0,
        validation_data=training_batches(settings, dataset, workers=0),
        validation_freq=8,
        callbacks=[averages],
    )
    weights = model.evaluate(batches, verbose=0)[0]
    assert model.history.history["val_loss"][0] < weights < 1.6  # by chance log(12) = 2.5
