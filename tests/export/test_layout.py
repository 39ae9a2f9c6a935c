import keras
import numpy as np
import pytest
from keras import layers

from keras_resnext import ResNeXt, backend
from keras_resnext.export.layout import channels_first
from keras_resnext.export.pipeline import pixels_network
from keras_resnext.inference.classifier import model_classifier

pytestmark = pytest.mark.skipif(backend.NAME != "torch", reason="for PyTorch's exporters alone")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("block", ["grouped", "branches"])
def test_images_are_turned_once_whatever_comes_before(block):
    arguments = {"squeeze_excitation": True, "shortcut": "average_pool", "stem": "deep"}
    core = ResNeXt((1, 1), 2, 32, block=block, input_shape=(33, 33, 3), classes=3, **arguments)
    for variable in core.non_trainable_variables:
        variable.assign(RNG.uniform(0.5, 1.5, variable.shape))
    scale = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[1, 2, 3])
    model = keras.Sequential([keras.Input((33, 33, 3)), layers.Rescaling(1 / 255), scale, core])
    network = pixels_network(model_classifier(model))
    images = RNG.integers(0, 256, (2, 33, 33, 3)).astype("float32")
    moved = channels_first(network)
    expected = network.predict(images, verbose=0)
    np.testing.assert_allclose(moved.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)
    turned = [each for each in moved.layers if getattr(each, "data_format", None)]
    assert {layer.data_format for layer in turned} == {"channels_first"}
    assert sum(isinstance(layer, layers.Permute) for layer in moved.layers) == 1


@pytest.mark.parametrize(
    "middle",
    [
        [layers.Flatten()],
        [layers.Softmax()],
        [layers.Reshape((16, 2))],
        [layers.GlobalMaxPooling2D(), layers.Reshape((1, 1, 2)), layers.Conv2D(2, 1)],
    ],
)
def test_what_depends_on_the_layout_stays(middle):
    head = [layers.Conv2D(2, 1), *middle, layers.Flatten(), layers.Dense(2)]
    network = keras.Sequential([keras.Input((4, 4, 3)), *head])
    network = keras.Model(network.inputs, network.outputs)
    assert channels_first(network) is network
