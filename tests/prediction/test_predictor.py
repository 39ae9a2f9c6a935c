import keras
import numpy as np
import pytest

from keras_resnext import data
from keras_resnext.prediction.description import read_description
from keras_resnext.prediction.predictor import from_trained
from keras_resnext.training.trained import find_trained
from tests.training.tiny import shrink, tiny_demo


@pytest.mark.parametrize("file", ["", "model.keras", "best.weights.h5"])
def test_equals_the_network_on_images_prepared_as_in_evaluation(run, file, monkeypatch):
    shrink(monkeypatch)
    dataset = tiny_demo("demo")
    predictor = from_trained(find_trained(run / file), read_description(run))
    batch, _ = data.Batches(dataset.test, dataset, batch_size=12)[0]
    expected = keras.saving.load_model(run / "model.keras").predict(batch, verbose=0)
    found = predictor.probabilities(dataset.test.images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found) > 0.01  # else any order of images or classes would do
    assert predictor.class_names == dataset.class_names
    assert predictor.preprocessing == dataset.preprocessing
