from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext import ResNeXt
from keras_resnext.data.demo import load_demo
from keras_resnext.training.loop import train
from keras_resnext.training.network import ARCHITECTURES, Architecture, build_network
from keras_resnext.training.options import RunOptions
from keras_resnext.training.recipes import RECIPES
from keras_resnext.training.trained import find_trained


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


def test_backbone_is_frozen_first_and_learns_then(tmp_path, photographs, monkeypatch):
    one_block = Architecture(partial(ResNeXt, (1,)), stem="imagenet")
    monkeypatch.setitem(ARCHITECTURES, "resnext11", one_block)
    settings = replace(
        RECIPES["finetune"],
        model="resnext11",
        cardinality=2,
        data_dir=photographs,
        image_size=24,
        crop_padding=2,
        batch_size=8,
        base_batch_size=8,
        epochs=2,
        frozen_epochs=1.0,
        initial_weights=tmp_path / "initial.weights.h5",
    )
    initial = build_network(settings, (24, 24, 3), 5)
    initial.save_weights(settings.initial_weights)
    results = train(settings, tmp_path / "run", RunOptions(keep=9))
    assert 0 <= results["test_accuracy_best"] <= 1

    learned = []
    for epoch in (1, 2):
        checkpoint = next((tmp_path / "run/checkpoints").glob(f"epoch{epoch:05}*.weights.h5"))
        trained = build_network(settings, (24, 24, 3), 2)
        trained.load_weights(checkpoint)
        learned.append(differing_layers(trained, initial))
    assert learned[0] == set()
    assert {"stem_conv", "stage1_block1_bn2"} <= learned[1]
    assert find_trained(tmp_path / "run").settings == settings


def differing_layers(one, other):
    """Layers of the backbone whose trainable weights differ."""
    return {
        layer.name
        for layer in one.layers[1:-1]
        for mine, theirs in zip(
            layer.trainable_variables,
            other.get_layer(layer.name).trainable_variables,
            strict=True,
        )
        if not np.array_equal(*map(keras.ops.convert_to_numpy, (mine, theirs)))
    }
