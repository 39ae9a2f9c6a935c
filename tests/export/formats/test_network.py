import keras
import numpy as np
import pytest

from keras_resnext import data
from keras_resnext.export.formats.network import from_pixels
from keras_resnext.export.network import inference_network
from keras_resnext.training.trained import find_trained
from tests.gradients import relative_error


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_computes_from_pixels_what_the_trained_one_does(
    data_format, tiny, run, dataset, monkeypatch
):
    """Whatever image data format is configured where it is used."""
    trained = inference_network(find_trained(run), dataset)
    images = dataset.test.images
    preprocessing = dataset.preprocessing
    normalised = data.normalise(images, preprocessing.mean, preprocessing.std)
    expected = trained.predict(normalised, verbose=0)
    configured = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        network = from_pixels(trained, preprocessing)
        logits = network.predict(images.astype(np.float32), verbose=0)
    finally:
        keras.config.set_image_data_format(configured)
    assert relative_error(logits, expected) < 1e-5


def test_nothing_is_left_to_normalise_but_pixels(network):
    layers = list(network._flatten_layers())
    assert not [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    assert [x for x in layers if isinstance(x, keras.layers.Normalization)]
