from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnext.architecture import Architecture
from keras_resnext.preprocessing import MEAN, STD, Preprocessing, fitted
from keras_resnext.presets import PRESETS
from keras_resnext.training.initial import (
    find_initial,
    load_initial,
    preprocessing_of,
    read_initial,
)
from keras_resnext.training.network import ARCHITECTURES, architecture, build_network, resolved
from keras_resnext.training.recipes import RECIPES
from keras_resnext.training.settings import Settings

FOLDER = Settings(dataset="folder", data_dir=Path("photographs"), model="resnext50")
TINY = Settings(model="resnext11", cardinality=2)
HEAD = "predictions"


@pytest.fixture(autouse=True)
def one_block(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "resnext11", Architecture((1,)))


def network(classes=4, seed=0, **changes):
    keras.utils.set_random_seed(seed)
    return build_network(replace(TINY, **changes), (16, 16, 3), classes)


@pytest.fixture(params=["some.weights.h5", "some.keras", "run"])
def source(request, tmp_path):
    """Weights in each form in which a run leaves them, and the network they are from."""
    trained = network(seed=1, stem="cifar")
    path = tmp_path / request.param
    if request.param == "run":
        path.mkdir()
        trained.save_weights(path / "best.weights.h5")
    elif request.param == "some.keras":
        trained.save(path)
    else:
        trained.save_weights(path)
    return path, trained


def differences(one, other):
    """Names of the layers whose weights differ."""
    return {
        layer.name
        for layer in one.layers
        if layer.weights
        for mine, theirs in zip(
            layer.get_weights(), other.get_layer(layer.name).get_weights(), strict=True
        )
        if not np.array_equal(mine, theirs)
    }


def test_what_the_settings_leave_open_is_as_the_weights_have_it(source):
    path, _ = source
    settings = resolved(Settings(model="resnext11", weights=str(path)))
    assert (settings.cardinality, settings.base_width, settings.stem) == (2, 4, "cifar")
    path.rename(path.with_name("gone"))
    assert resolved(settings) == settings  # a finished run needs them no more


def test_loads_everything(source):
    path, trained = source
    settings = resolved(replace(TINY, weights=str(path)))
    model = build_network(settings, (16, 16, 3), 4)
    load_initial(model, read_initial(settings, architecture(settings)))
    assert not differences(model, trained)


def test_leaves_a_classifier_of_other_classes_fresh(source):
    path, trained = source
    settings = resolved(replace(TINY, weights=str(path)))
    model = build_network(settings, (16, 16, 3), 7)
    fresh = model.get_layer(HEAD).get_weights()
    load_initial(model, read_initial(settings, architecture(settings)))
    for before, after in zip(fresh, model.get_layer(HEAD).get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    backbone = keras.Model(model.input, model.get_layer(HEAD).input)
    assert not differences(backbone, trained)


def test_names_all_in_which_another_network_differs(source):
    path, _ = source
    settings = Settings(model="resnext20", weights=str(path), cardinality=4, stem="cifar")
    message = r"weights: .* is of a network with stage_blocks \(1,\), cardinality 2, and the"
    with pytest.raises(ValueError, match=message):
        resolved(settings)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("no/such/run", "weights='no/such/run': there is no such file"),
        ("none.pth", "weights='none.pth': there is no such file"),
        ("{}", r"weights: expected the folder of a run, found no best.weights.h5 in "),
        ("a9", "weights='a9' is unknown; for resnext50_32x4d use one of 'imagenet'"),
        ("keras_resnext", "is unknown"),
    ],
)
def test_names_what_is_not_there(tmp_path, weights, message):
    with pytest.raises(ValueError, match=message):
        resolved(replace(FOLDER, weights=weights.format(tmp_path)))


@pytest.mark.parametrize("name", ["damaged.keras", "whole.h5", "damaged.weights.h5"])
def test_a_damaged_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"{name}"):
        resolved(replace(FOLDER, weights=str(tmp_path / name)))


def test_published_weights_decide_what_the_settings_leave_open():
    settings = resolved(replace(FOLDER, weights="resnext50d_32x4d.bt_in1k"))
    preset = PRESETS["resnext50d_32x4d.bt_in1k"]
    assert architecture(settings) == preset.architecture
    assert settings.image_size == preset.preprocessing.image_size
    assert preprocessing_of(settings) == preset.preprocessing
    assert resolved(settings) == settings


def test_imagenet_is_the_recommended_set_by_its_full_name():
    settings = resolved(replace(RECIPES["finetune"], data_dir=Path("photographs")))
    assert settings.weights == "resnext50_32x4d.tv2_in1k"
    assert (settings.stem, settings.image_size) == ("imagenet", 224)
    wide = resolved(replace(RECIPES["finetune"], model="resnext101", base_width=8))
    assert wide.weights == "resnext101_32x8d.tv2_in1k"


def test_a_folder_of_the_name_of_a_set_is_not_meant(tmp_path, monkeypatch):
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_initial("imagenet", Architecture((3, 4, 6, 3))).tag == "tv2_in1k"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cardinality": 64, "squeeze_excitation": True}, "cardinality 32, squeeze_excitation F"),
        ({"model": "resnext101"}, r"stage_blocks \(3, 4, 6, 3\), and .* \(3, 4, 23, 3\)"),
        ({"reduce": "grouped"}, "reduce dense"),
    ],
)
def test_published_weights_of_another_network(change, told):
    settings = replace(FOLDER, weights="resnext50_32x4d.a1_in1k", **change)
    with pytest.raises(ValueError, match=f"weights: resnext50_32x4d.a1_in1k is of .* with {told}"):
        resolved(settings)


def test_another_image_size_keeps_the_share_that_is_cropped():
    settings = resolved(replace(FOLDER, weights="tv2", image_size=448))
    assert preprocessing_of(settings) == Preprocessing(448, 464, "bilinear", MEAN, STD)


@pytest.mark.parametrize(("size", "stem"), [(None, "imagenet"), (64, "cifar"), (65, "imagenet")])
def test_a_folder_without_weights_has_the_stem_for_its_size(size, stem):
    settings = resolved(replace(FOLDER, image_size=size))
    assert settings.stem == stem
    assert preprocessing_of(settings) == fitted(size or 224)
