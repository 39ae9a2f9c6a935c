"""The contract of keras.applications: the tests that Keras has of it, on our networks.

Keras' wheel holds its tests; the list of networks in them gives way to ours. The test that
downloads weights and an image is left out: `test_published_weights_by_name_and_picture` stands in.
"""

import functools
import importlib.util
import io
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_resnext
from keras_resnext.weights.files import without_values
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.presets import PRESETS
from tests.peers import keras_tests, no_tests

CHANNELS = {"ResNeXt29": 1024, "ResNeXt50": 2048}
if keras.backend.backend() == "torch":  # these have more blocks, which takes longer, and no more
    CHANNELS |= {"ResNeXt101": 2048, "ResNeXt152": 2048}


def _without_values(build):
    """Keras' tests look at shapes only, and initial values would take most of the time."""

    @functools.wraps(build)
    def app(*args, **kwargs):
        return without_values(lambda: build(*args, **kwargs))

    return app


def _with_ours():
    source = keras_tests("applications/applications_test.py")
    if source is None:
        return no_tests()
    begin = source.index("MODEL_LIST = [")
    end = source.index("\n]\n", begin)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("keras_applications_test", loader=None)
    )
    module.MODEL_LIST = [
        (_without_values(getattr(keras_resnext, name)), channels, keras_resnext)
        for name, channels in CHANNELS.items()
    ]
    source = source[:begin] + source[end + 3 :]
    exec(compile(source, "applications_test.py", "exec"), vars(module))
    return module.ApplicationsTest


class TestContract(_with_ours()):
    pass


for _name in dir(TestContract):
    if _name.startswith("test_application_base"):
        setattr(TestContract, _name, None)


@pytest.fixture
def random_weights(monkeypatch):
    """A network of random weights in place of torchvision's ResNeXt-50."""
    name = "resnext50_32x4d.tv2_in1k"
    model = keras_resnext.ResNeXt50(stem="imagenet")
    weights = LayerWeights.of_model(model)
    monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], read=lambda: weights))
    return model


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the same; 20 s under JAX")
def test_published_weights_by_name_and_picture(random_weights):
    """As Keras' `test_application_base`, in the words of a user of keras.applications."""
    from matplotlib.cbook import get_sample_data

    model = keras_resnext.ResNeXt50(weights="imagenet")
    with get_sample_data("grace_hopper.jpg") as file:
        image = keras.utils.load_img(io.BytesIO(file.read()), target_size=(224, 224))
    x = np.expand_dims(keras.utils.img_to_array(image), axis=0)
    predictions = model.predict(keras_resnext.preprocess_input(x), verbose=0)
    (best,) = keras_resnext.decode_predictions(predictions, top=3)
    assert predictions.shape == (1, 1000)
    assert best[0][2] == predictions.max()
    expected = random_weights.predict(keras_resnext.preprocess_input(x), verbose=0)
    np.testing.assert_allclose(predictions, expected, rtol=1e-3, atol=1e-6)
