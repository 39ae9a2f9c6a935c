from dataclasses import replace
from pathlib import Path

import pytest

from keras_resnext import ResNeXt
from keras_resnext.export.card import model_card
from keras_resnext.export.interface import Interface
from keras_resnext.training.trained import Trained
from tests.tiny_preset import PRESET


@pytest.fixture
def network():
    return ResNeXt((1,), cardinality=1, classes=12)


@pytest.mark.parametrize(
    ("file", "accuracy"),
    [
        ("best.weights.h5", "87.50% top-1 and 96.25% top-5"),
        ("model.keras", "87.50% top-1 and 96.25% top-5"),
        ("last.weights.h5", "85.00% top-1 and 95.00% top-5"),
        ("other.keras", "Not known"),
    ],
)
def test_tells_the_accuracy_of_these_very_weights(run, dataset, network, file, accuracy):
    interface = Interface("mine", dataset.preprocessing, dataset.class_names)
    card = model_card(
        Trained(run / file, None, run), dataset, interface, network, {"logits": 1e-6}, "command"
    )
    assert accuracy in card
    assert f"{network.count_params():,} parameters, 12 classes" in card


def test_published_weights_come_with_their_publishers_words(network, dataset):
    trained = Trained(Path(PRESET.name), None, Path("runs"), PRESET)
    interface = Interface("mine", PRESET.preprocessing, dataset.class_names)
    card = model_card(trained, dataset, interface, network, {"logits": 1e-6}, "command")
    assert "trained on nothing at all." in card
    assert "12.5 % top-1 on the validation images of ImageNet-1k, as published (http://" in card
    assert "under CC-BY-NC-4.0, which forbids commercial use." in card
    assert "is scaled to 40 pixels,\nbilinear with antialiasing, and 32x32 pixels are" in card
    for change, accuracy in (
        ({"top5": 34.5}, "12.5 % top-1 and 34.5 % top-5 on"),
        ({"top1": None}, "None is published."),
    ):
        other = replace(trained, preset=replace(PRESET, **change))
        card = model_card(other, dataset, interface, network, {"logits": 1e-6}, "command")
        assert accuracy in card
