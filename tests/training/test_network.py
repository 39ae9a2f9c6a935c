from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnext.architecture import Architecture
from keras_resnext.checkpoint import open_checkpoint, write_checkpoint
from keras_resnext.preprocessing import MEAN, STD, Preprocessing, whole_image
from keras_resnext.training import RECIPES, Settings
from keras_resnext.training.network import (
    architecture,
    build_network,
    compiled_network,
    origin,
    preprocessing,
    resolve,
)
from tests.training.tiny import SETTINGS, shrink, tiny_demo

FOLDER = Settings().change(dataset="folder", data_dir=Path("photographs"), model="resnext50")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quickstart", Architecture((1, 1, 1))),
        ("paper", Architecture((3, 3, 3), 8, 64, "cifar")),
        ("grouped1x1", Architecture((3, 4, 6, 3), stem="cifar", reduce="grouped")),
        ("modern", Architecture((3, 4, 6, 3), stem="cifar")),
        ("finetune", Architecture((3, 4, 6, 3))),
    ],
)
def test_networks_of_the_recipes(name, expected):
    settings = resolve(RECIPES[name])
    assert architecture(settings) == expected
    assert resolve(settings) == settings


def test_grouped_resnext152_has_stages_of_its_own():
    settings = resolve(RECIPES["grouped1x1"].change(model="resnext152"))
    assert architecture(settings).stage_blocks == (3, 4, 36, 3)


@pytest.mark.parametrize(("size", "stem"), [(None, "imagenet"), (64, "cifar"), (65, "imagenet")])
def test_a_folder_without_weights_has_the_stem_for_its_size(size, stem):
    settings = resolve(FOLDER.change(image_size=size))
    assert settings.network.stem == stem
    assert preprocessing(settings, origin(settings)) == whole_image(size or 224)


def test_published_weights_decide_what_the_settings_leave_open():
    settings = resolve(FOLDER.change(weights="resnext50d_32x4d.bt_in1k"))
    published = open_checkpoint("resnext50d_32x4d.bt_in1k")
    assert architecture(settings) == published.architecture
    assert settings.data.image_size == published.preprocessing.image_size
    assert preprocessing(settings, origin(settings)) == published.preprocessing


def test_another_image_size_keeps_the_share_that_is_cropped():
    settings = resolve(RECIPES["finetune"].change(image_size=448))
    found = preprocessing(settings, origin(settings))
    assert found == Preprocessing(448, 464, "bilinear", MEAN, STD)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cardinality": 64, "squeeze_excitation": True}, "SE-ResNeXt-50 64x4d"),
        ({"model": "resnext101"}, "ResNeXt-101 32x4d"),
        ({"reduce": "grouped"}, "grouped 1x1"),
    ],
)
def test_weights_of_another_network(change, told):
    settings = FOLDER.change(weights="resnext50_32x4d.a1_in1k", **change)
    message = f"--weights: resnext50_32x4d.a1_in1k is a ResNeXt-50 32x4d, and the .*{told}"
    with pytest.raises(ValueError, match=message):
        resolve(settings)


def test_a_file_decides_and_is_needed_no_more(tmp_path, monkeypatch):
    shrink(monkeypatch)
    tiny = resolve(SETTINGS.change(stem="cifar"))
    network = build_network(tiny, tiny_demo())
    write_checkpoint(tmp_path / "run", network, preprocessing=None, class_names=None)
    settings = Settings().change(model="resnext11", weights=str(tmp_path / "run"))
    resolved = resolve(settings)
    assert (resolved.network.cardinality, resolved.network.stem) == (2, "cifar")
    (tmp_path / "run").rename(tmp_path / "gone")
    assert resolve(resolved) == resolved
    with pytest.raises(ValueError, match="found nothing of that name"):
        resolve(settings)


@pytest.fixture
def dataset(monkeypatch):
    shrink(monkeypatch)
    yield tiny_demo()
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_weights_statistics_and_logits_in_float32(dataset, precision):
    model = compiled_network(resolve(SETTINGS.change(precision=precision)), dataset, 5)
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.output.dtype == "float32"
    assert model.layers[-2].compute_dtype == precision.removeprefix("mixed_")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


def test_class_weights_scale_the_loss_and_not_the_accuracy(dataset):
    rows = np.flatnonzero((dataset.train.labels != 1) | (np.arange(60) % 5 == 0))
    dataset = replace(dataset, train=dataset.train.take(rows))
    settings = resolve(SETTINGS.change(class_weights="balanced"))
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    plain = compiled_network(resolve(SETTINGS.change(label_smoothing=1e-9)), dataset, 5)
    weighted = compiled_network(settings, dataset, 5)  # from the same seed
    losses, hits = [], []
    for label in (0, 1):
        labels = np.eye(12, dtype="float32")[[label, label]]
        found = [m.test_on_batch(images, labels, return_dict=True) for m in (plain, weighted)]
        losses.append(float(found[1]["loss"]) / float(found[0]["loss"]))
        hits.append(found[0]["accuracy"] == found[1]["accuracy"])
    counts = np.bincount(dataset.train.labels)
    assert losses[1] / losses[0] == pytest.approx(counts[0] / counts[1], rel=1e-4)
    assert all(hits)
