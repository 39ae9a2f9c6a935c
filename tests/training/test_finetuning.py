from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext.architecture import Architecture
from keras_resnext.data.demo import load_demo
from keras_resnext.presets import PRESETS
from keras_resnext.training.estimate import dry_run
from keras_resnext.training.loop import train
from keras_resnext.training.network import ARCHITECTURES, build_network
from keras_resnext.training.options import RunOptions
from keras_resnext.training.recipes import RECIPES
from keras_resnext.training.trained import find_trained
from tests.tiny_preset import PRESET, publish


@pytest.fixture
def photographs(tmp_path):
    """Two classes of pictures of several sizes."""
    split = load_demo(train_per_class=10, validation_per_class=1, test_per_class=1).train
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for number, image in enumerate(split.images[split.labels == label]):
            Image.fromarray(image).resize((40 + number, 30)).save(folder / f"{number}.png")
    return tmp_path / "photographs"


@pytest.fixture
def settings(photographs, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "resnext11", Architecture((1,)))
    return replace(
        RECIPES["finetune"],
        model="resnext11",
        weights=None,
        freeze_batch_norm=False,
        cardinality=2,
        data_dir=photographs,
        image_size=24,
        crop_padding=2,
        batch_size=8,
        base_batch_size=8,
        epochs=2,
        frozen_epochs=1.0,
    )


@pytest.fixture
def initial(settings, tmp_path):
    """A trained network of five classes, whose statistics are none that any data has."""
    network = build_network(settings, (24, 24, 3), 5)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.linspace(-0.1, 0.1, layer.moving_mean.shape[0]))
    network.save_weights(tmp_path / "initial.weights.h5")
    return network


@pytest.mark.parametrize("freeze", [False, True])
def test_backbone_is_frozen_first_and_learns_then(tmp_path, settings, initial, freeze):
    path = str(tmp_path / "initial.weights.h5")
    settings = replace(settings, weights=path, freeze_batch_norm=freeze)
    results = train(settings, tmp_path / "run", RunOptions(keep=9))
    assert 0 <= results["test_accuracy_best"] <= 1

    learned, followed = [], []
    for name in ("checkpoints/epoch00001-step0000000", "last"):
        trained = build_network(settings, (24, 24, 3), 2)
        trained.load_weights(tmp_path / "run" / f"{name}.weights.h5")
        learned.append(differing_layers(trained, initial, "trainable_variables"))
        followed.append(differing_layers(trained, initial, "non_trainable_variables"))
    normalised = {layer.name for layer in initial.layers if "_bn" in layer.name}
    everything = {layer.name for layer in initial.layers[:-1] if layer.trainable_variables}
    assert learned == [set(), everything - normalised if freeze else everything]
    assert followed == [set(), set()] if freeze else [normalised, normalised]
    assert find_trained(tmp_path / "run").settings.cardinality == 2


@pytest.fixture
def published(settings, tmp_path, monkeypatch):
    """A run from published weights, named by their tag, that nobody can download."""
    monkeypatch.setitem(PRESETS, PRESET.name, PRESET)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    return replace(
        settings,
        weights="tiny",
        image_size=None,
        epochs=1,
        frozen_epochs=0.0,
        warmup_epochs=0.0,
    )


def test_without_a_network_nothing_is_loaded_or_made(published, tmp_path):
    settings = replace(published, data_dir=tmp_path / "none")
    with pytest.raises(ConnectionError, match=f"{PRESET.name} is not in the cache, and"):
        train(settings, tmp_path / "run", RunOptions())
    assert not (tmp_path / "run").exists()


def test_a_dry_run_tells_of_published_weights_and_downloads_none(published, tmp_path):
    text = dry_run(published)
    assert f"Weights to begin with: {PRESET.name} (licence CC-BY-NC-4.0), which a run" in text
    assert "resize_size=40" in text
    assert f'weights = "{PRESET.name}"' in text
    assert not (tmp_path / "cache").exists()


def test_published_weights_bring_network_and_preprocessing(published, tmp_path, monkeypatch):
    network = publish(monkeypatch, tmp_path / "cache")
    settings = replace(
        published,
        weights=PRESET.name,
        cardinality=None,
        freeze_batch_norm=True,
        learning_rate=1e-30,
    )
    train(settings, tmp_path / "run", RunOptions())
    found = find_trained(tmp_path / "run").settings
    assert (found.weights, found.cardinality, found.image_size) == (PRESET.name, 2, 32)
    trained = build_network(found, (32, 32, 3), 2)
    trained.load_weights(tmp_path / "run/last.weights.h5")
    assert differing_layers(trained, network, "trainable_variables") == set()
    assert '"resize_size": 40' in (tmp_path / "run/dataset.json").read_text()


def differing_layers(one, other, kind):
    """Layers of the backbone of which some variables differ."""
    return {
        layer.name
        for layer in one.layers[1:-1]
        for mine, theirs in zip(
            getattr(layer, kind), getattr(other.get_layer(layer.name), kind), strict=True
        )
        if not np.array_equal(*map(keras.ops.convert_to_numpy, (mine, theirs)))
    }
