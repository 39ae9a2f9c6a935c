import numpy as np
import pytest
from PIL import Image

from keras_resnext.prediction.predictions import predict
from keras_resnext.prediction.predictor import Predictor
from keras_resnext.preprocessing import fitted


def shares(images):
    """How red, green and blue an image is."""
    sums = images.sum(axis=(1, 2), dtype=float)
    return sums / sums.sum(axis=1, keepdims=True)


PREDICTOR = Predictor(("red", "green", "blue"), fitted(4), shares)
COLOURS = [(60, 0, 40), (10, 80, 10), (0, 30, 70), (50, 50, 100), (80, 10, 10)]


@pytest.fixture
def files(tmp_path):
    paths = []
    for number, colour in enumerate(COLOURS):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (9, 4 + number), colour).save(paths[-1])
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_files_in_order_whatever_the_batches(files, batch_size):
    batches = list(predict(PREDICTOR, files, 2, batch_size))
    assert max(len(batch.images) for batch in batches) == min(batch_size, len(files))
    predictions = [prediction for batch in batches for prediction in batch.predictions]
    assert [prediction.path for prediction in predictions] == files
    assert predictions[0].guesses == ((0, "red", 0.6), (2, "blue", 0.4))
    assert predictions[1].guesses == ((1, "green", 0.8), (0, "red", 0.1))
    assert predictions[3].guesses == ((2, "blue", 0.5), (0, "red", 0.25))


def test_no_more_classes_than_there_are(files):
    (batch,) = predict(PREDICTOR, files[:1], 5, 8)
    assert [guess.name for guess in batch.predictions[0].guesses] == ["red", "blue", "green"]


def test_unreadable_files_are_told_apart(files):
    files[0].write_bytes(b"no image")
    files[2].unlink()
    files[3].write_bytes(files[3].read_bytes()[:40])
    (batch,) = predict(PREDICTOR, files, 1, 8)
    assert [(p.path, p.guesses[0].name) for p in batch.predictions] == [
        (files[1], "green"),
        (files[4], "red"),
    ]
    np.testing.assert_array_equal(batch.images[:, 0, 0], [COLOURS[1], COLOURS[4]])
    assert list(batch.unreadable) == [files[0], files[2], files[3]]
    assert "no JPEG" in batch.unreadable[files[0]]


def test_a_batch_that_cannot_be_read_at_all(files):
    for path in files[:2]:
        path.write_bytes(b"")
    batches = list(predict(PREDICTOR, files, 1, 2))
    assert [len(batch.predictions) for batch in batches] == [0, 2, 1]


def test_a_network_that_computes_no_numbers(files):
    nan = Predictor(("a", "b"), fitted(4), lambda images: np.full((len(images), 2), np.nan))
    with pytest.raises(ArithmeticError, match="not finite"):
        list(predict(nan, files, 1, 8))
