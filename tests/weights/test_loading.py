from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.models import from_preset
from keras_resnext.preprocessing import fitted
from keras_resnext.presets import PRESETS
from keras_resnext.weights.cache import cache_folder
from keras_resnext.weights.keras_file import write_by_name
from keras_resnext.weights.loading import load_weights, read_weights
from keras_resnext.weights.naming import from_torch, to_torch
from keras_resnext.weights.writing import write_tensors
from tests.gradients import relative_error

NAME = "resnext50_32x4d.tv_in1k"


def tiny(**arguments):
    sizes = dict(stage_blocks=(1, 1), cardinality=2, input_shape=(64, 64, 3), stem="imagenet")
    return ResNeXt(**sizes | dict(classes=5) | arguments)


def image(size=64):
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")


@pytest.fixture
def model():
    found = tiny()
    for layer in found.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            rng = np.random.default_rng(1)
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return found


@pytest.fixture(params=[".weights.h5", ".keras", ".safetensors"])
def file(request, model, tmp_path):
    path = tmp_path / f"tiny{request.param}"
    if request.param == ".safetensors":
        write_tensors(path, to_torch(model))
    elif request.param == ".keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


def test_a_file_brings_stem_and_classes_with_it(file, model):
    again = tiny(weights=file, stem=None, classes=None)
    np.testing.assert_array_equal(
        again.predict(image(), verbose=0), model.predict(image(), verbose=0)
    )


@pytest.mark.parametrize("block", ["concatenated", "branches"])
def test_a_file_of_one_form_loads_into_another_and_back(file, model, block, tmp_path):
    other = tiny(weights=str(file), block=block)
    expected = model.predict(image(), verbose=0)
    assert relative_error(other.predict(image(), verbose=0), expected) < 1e-5
    other.save_weights(tmp_path / "other.weights.h5")
    back = tiny(weights=tmp_path / "other.weights.h5")
    for ours, theirs in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_top_on_layers_of_the_users_own(file, model):
    """Whose convolution comes first, and would shift what goes by the order of layers."""
    inputs = keras.Input((128, 128, 3))
    x = keras.layers.Conv2D(3, 2, strides=2, kernel_initializer="ones", name="mine")(inputs)
    features = tiny(
        weights=file, include_top=False, pooling="avg", input_tensor=x, input_shape=None
    )
    mine = keras.Model(inputs, features.get_layer("mine").output)
    expected = keras.Model(model.input, model.get_layer("avg_pool").output)
    pixels = image(128)
    np.testing.assert_allclose(
        features.predict(pixels, verbose=0),
        expected.predict(mine.predict(pixels, verbose=0), verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )


def test_any_head_passes_over_a_classifier_of_another_size(file, model):
    other = tiny(classes=3)
    head = other.get_layer("predictions").get_weights()
    load_weights(other, read_weights(file), file, any_head=True)
    for ours, theirs in zip(other.get_layer("predictions").get_weights(), head, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        other.get_layer("stage2_block1_conv2").get_weights()[0],
        model.get_layer("stage2_block1_conv2").get_weights()[0],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(classes=7), r"of another shape: predictions/kernel \(512, 5\), expected \(512, 7\)"),
        (dict(base_width=8), r"conv1/kernel \(1, 1, 64, 8\), expected \(1, 1, 64, 16\).*and \d+ m"),
        (dict(stage_blocks=(1, 2)), "missing: stage2_block2_conv1.*They are those of Architecture"),
        (dict(stage_blocks=(1,)), "unknown: stage2_block1_bn1"),
        (dict(stem="deep"), "missing: stem_conv1.*unknown: stem_bn, stem_conv"),
        (dict(squeeze_excitation=True), "missing: stage1_block1_se_conv1"),
        (dict(shortcut="average_pool"), 'of a network with shortcut="projection"'),
        (
            dict(input_shape=(64, 64, 1)),
            r"stem_conv/kernel \(7, 7, 3, 64\), expected \(7, 7, 1,",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_by_tensors(file, arguments, message):
    with pytest.raises(ValueError, match=f"tiny.*does not fit resnext: .*{message}"):
        tiny(weights=file, **arguments)


def test_a_damaged_keras_file(model, tmp_path):
    path = tmp_path / "cut.weights.h5"
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut\.weights\.h5"):
        tiny(weights=path)


@pytest.fixture
def published(model, tmp_path, monkeypatch):
    """A set of published weights that a user has put into the cache by hand."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    small = replace(
        PRESETS[NAME],
        architecture=replace(PRESETS[NAME].architecture, stage_blocks=(1, 1), cardinality=2),
        url="http://127.0.0.1:1/tiny.safetensors",
        digest=None,
        preprocessing=fitted(64),
        classes=5,
    )
    monkeypatch.setitem(PRESETS, NAME, small)
    cache_folder().mkdir(parents=True)
    write_tensors(cache_folder() / "tiny.safetensors", to_torch(model))
    return small


def test_published_weights(published, model):
    by_name = from_preset(NAME)
    assert by_name.name == "resnext50_32x4d"
    (cache_folder() / "tiny.safetensors").unlink()  # has been converted
    by_tag = tiny(weights="tv_in1k", stem=None, classes=None)
    for found in (by_name, by_tag):
        np.testing.assert_array_equal(
            found.predict(image(), verbose=0), model.predict(image(), verbose=0)
        )


def test_published_weights_that_cannot_be_had(published):
    (cache_folder() / "tiny.safetensors").unlink()
    with pytest.raises(ConnectionError, match=r"put the file to .*tiny\.safetensors"):
        from_preset(NAME)


def test_wrong_classes_are_told_before_anything_is_downloaded(published):
    (cache_folder() / "tiny.safetensors").unlink()
    with pytest.raises(ValueError, match=r"classes=7: the classifier .* has 5"):
        tiny(weights=NAME, classes=7)
    with pytest.raises(ValueError, match="for images of three channels"):
        tiny(weights=NAME, classes=None, input_shape=(64, 64, 4))
    with pytest.raises(ValueError, match="preset='resnet50' is unknown; published weights are"):
        from_preset("resnet50")


def test_weights_without_a_network_keep_all_they_tell(tmp_path):
    weights = from_torch(to_torch(tiny(stem="deep", shortcut="average_pool")))
    write_by_name(tmp_path / "tiny.h5", weights)
    again = read_weights(tmp_path / "tiny.h5")
    assert again.architecture() == weights.architecture()
    assert again.shortcut == "average_pool"
    assert again.arrays.keys() == weights.arrays.keys()
    for name, arrays in weights.arrays.items():
        for ours, theirs in zip(again.arrays[name], arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs)
