import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils

from keras_resnext.preprocessing import (
    MEAN,
    STD,
    Preprocessing,
    decode_predictions,
    imagenet_class_names,
    imagenet_classes,
    normalize,
    preprocess_input,
    whole_image,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_size", 0, "image_size: expected a whole number of pixels >= 1, got 0"),
        ("image_size", "224", "image_size: expected a whole number of pixels"),
        ("resize_size", 223, "resize_size: expected a whole number of pixels >= 224, got 223"),
        ("interpolation", "nearest", "interpolation: expected one of .*got 'nearest'"),
        ("mean", (1, 2), "mean: expected three numbers"),
        ("mean", (1, 2, float("nan")), "mean: expected three numbers"),
        ("mean", 0.5, "mean: expected three numbers, got 0.5"),
        ("std", ("1", 2, 3), "std: expected three numbers"),
        ("std", (1, 0, 3), "std: expected numbers above 0"),
    ],
)
def test_what_is_out_of_range_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Preprocessing(**{field: value})


def test_json_gives_it_back():
    preprocessing = whole_image(32, std=(1, 2, 3))
    assert preprocessing == Preprocessing(32, 32, "bicubic", MEAN, (1, 2, 3))
    values = json.loads(json.dumps(dataclasses.asdict(preprocessing)))
    assert Preprocessing.from_dict(values) == preprocessing
    with pytest.raises(TypeError, match="crop"):
        Preprocessing.from_dict(values | {"crop": 1})


def test_normalize_is_the_formula():
    found = normalize(PIXELS, MEAN, STD)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (PIXELS - np.array(MEAN)) / STD, rtol=0, atol=1e-6)


# preprocess_input


def as_is(x):
    return x


@pytest.mark.parametrize("kind", [as_is, keras.ops.convert_to_tensor], ids=["array", "tensor"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("images", [PIXELS, PIXELS[0]], ids=["batch", "image"])
def test_pixels_are_normalized_and_left_as_they_were(kind, dtype, data_format, images):
    expected = (images - np.array(MEAN)) / np.array(STD)
    if data_format == "channels_first":
        images, expected = np.moveaxis(images, -1, -3), np.moveaxis(expected, -1, -3)
    given = kind(images.astype(dtype))
    found = preprocess_input(given, data_format)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert isinstance(found, np.ndarray) == (kind is as_is)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=2e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(given), images)


def test_equals_keras():
    pixels = PIXELS.astype("float32")
    expected = imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    np.testing.assert_array_equal(preprocess_input(pixels), expected)


def test_serves_within_a_model():
    inputs = keras.Input((4, 5, 3), dtype="uint8")
    model = keras.Model(inputs, preprocess_input(inputs, "channels_last"))
    expected = preprocess_input(PIXELS, "channels_last")
    np.testing.assert_allclose(model.predict(PIXELS, verbose=0), expected, atol=2e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_works_within_tf_data_under_every_backend(dtype, data_format):
    tf = pytest.importorskip("tensorflow")
    images = PIXELS if data_format == "channels_last" else np.moveaxis(PIXELS, -1, -3)
    data = tf.data.Dataset.from_tensor_slices(images.astype(dtype)).batch(2)
    (found,) = data.map(lambda x: preprocess_input(x, data_format)).as_numpy_iterator()
    assert found.dtype == np.float32
    expected = preprocess_input(images.astype("float32"), data_format)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    with pytest.raises(ValueError, match=r"data_format.*channels_middle"):
        data.map(lambda x: preprocess_input(x, "channels_middle"))


# The classes of ImageNet


def test_the_classes_are_those_of_keras():
    """By the hash with which Keras checks its own download."""
    index = {str(label): list(each) for label, each in enumerate(imagenet_classes())}
    digest = hashlib.md5(json.dumps(index).encode(), usedforsecurity=False).hexdigest()
    assert digest == "c2c37ea517e94d9795004a39431a14cb"


def test_names_are_given_once():
    names = imagenet_class_names()
    assert len(set(names)) == 1000
    assert names[0] == "tench"
    assert {names[134], names[517]} == {"crane_n02012849", "crane_n03126707"}
    assert sum(name != each.name for name, each in zip(names, imagenet_classes(), strict=True)) == 4


@pytest.mark.parametrize("kind", [as_is, keras.ops.convert_to_tensor], ids=["array", "tensor"])
def test_predictions_are_named_as_keras_names_them(kind, monkeypatch, tmp_path):
    scores = np.random.default_rng(0).random((3, 1000), np.float32)
    index = {str(label): list(each) for label, each in enumerate(imagenet_classes())}
    (tmp_path / "index.json").write_text(json.dumps(index))
    files = "keras.src.applications.imagenet_utils.file_utils"
    monkeypatch.setattr(f"{files}.get_file", lambda *_, **__: tmp_path / "index.json")
    for top in (1, 5, 1000):
        expected = imagenet_utils.decode_predictions(scores, top)
        assert decode_predictions(kind(scores), top) == expected


@pytest.mark.parametrize("shape", [(1000,), (2, 999), (1, 2, 1000)])
def test_predictions_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"2D array of shape \(samples, 1000\)"):
        decode_predictions(np.zeros(shape))
