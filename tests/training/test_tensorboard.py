import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnext.training import tensorboard as module
from keras_resnext.training.tensorboard import tensorboard


def scalars(folder):
    """(epoch, value) of each tag in a folder's event files."""
    found = {}
    for path in sorted(folder.iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                point = (event.step, tf.make_ndarray(value.tensor).item())
                found.setdefault(value.tag, []).append(point)
    return found


def test_resumed_run_goes_on_at_its_epoch(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01])
    model.compile(
        keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    x, y = np.eye(3), np.array([0, 1, 0])
    histories = [
        model.fit(
            x,
            y,
            batch_size=3,
            initial_epoch=first,
            epochs=last,
            validation_data=(x, y),
            callbacks=[tensorboard(tmp_path)],
            verbose=0,
        ).history
        for first, last in ((0, 2), (2, 3))
    ]
    expected = {name: values + histories[1][name] for name, values in histories[0].items()}
    expected["learning_rate"] = [0.1, 0.01, 0.01]
    for prefix, folder in (("", "train"), ("val_", "validation")):
        written = scalars(tmp_path / folder)
        for name in ("loss", "accuracy", *(() if prefix else ("learning_rate",))):
            epochs, values = zip(*written[f"epoch_{name}"], strict=True)
            assert epochs == (0, 1, 2)
            np.testing.assert_allclose(values, expected[prefix + name], rtol=1e-6)


def test_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need tensorflow and tensorboard.*\[tensorboard\]"):
        tensorboard(tmp_path)
