import keras
import numpy as np
import pytest

from keras_resnext.export.network import inference_network
from keras_resnext.training.trained import Trained, find_trained
from tests.training.tiny import shrink


def trained(path):
    return Trained(path, None, path.parent)


def test_weights_of_a_run_become_logits(run, dataset, monkeypatch):
    shrink(monkeypatch)
    network = inference_network(find_trained(run), dataset)
    with_softmax = keras.saving.load_model(run / "model.keras")
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3), np.float32)
    logits = network.predict(images, verbose=0)
    expected = with_softmax.predict(images, verbose=0)
    assert np.abs(logits.sum(axis=1) - 1).min() > 1e-3
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)


def test_half_precision_and_channels_first_are_left_behind(run, dataset, monkeypatch):
    shrink(monkeypatch)
    monkeypatch.setattr(
        "keras_resnext.training.trained.dtype_policy", lambda precision: "mixed_bfloat16"
    )
    data_format = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        network = inference_network(find_trained(run), dataset)
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format(data_format)
    assert network.input_shape == (None, 32, 32, 3)
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def classifier(classes=12, shape=(32, 32, 3), activation="softmax"):
    inputs = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (classifier(classes=7), r"takes images \(32, 32, 3\) and knows 7 classes, demo has .* 12"),
        (classifier(shape=(3, 32, 32)), r"takes images \(3, 32, 32\)"),
        (classifier(activation="sigmoid"), "expected a network that ends in a Dense layer"),
        (keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()]), "as ResNeXt does"),
    ],
)
def test_another_network_is_refused(model, message, dataset, tmp_path):
    model.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=message):
        inference_network(trained(tmp_path / "other.keras"), dataset)
