"""The network that comes with the package."""

from pathlib import Path

import numpy as np
import pytest

from keras_resnext import (
    ResNeXt,
    ResNeXt50,
    backend,
    evaluate,
    from_preset,
    open_checkpoint,
    predict,
)
from keras_resnext.data.cifar100 import read_official
from keras_resnext.weights import hub

PHOTOGRAPHS = Path(__file__).parents[2] / "docs/images/photographs"


def test_it_recognizes_photographs_offline(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "download", None)
    (tmp_path / "cifar100").mkdir()  # such as the data set's folder
    monkeypatch.chdir(tmp_path)
    ranks = {"rocket": ("rocket", 1), "coffee": ("cup", 2), "flower": ("rose", 5)}
    found = predict("cifar100", [PHOTOGRAPHS / f"{photograph}.jpg" for photograph in ranks])
    for (name, rank), prediction in zip(ranks.values(), found, strict=True):
        assert name in [guess.name for guess in prediction.guesses[:rank]]


def test_the_builder_takes_it_by_name():
    model = ResNeXt((3, 3, 3), cardinality=8, base_width=8, weights="cifar100")
    expected = from_preset("cifar100").get_weights()
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="cifar100 is of ResNeXt-29 8x8d, CIFAR stem; build with"):
        ResNeXt50(weights="cifar100")


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="the same under every backend")
def test_its_accuracy_is_the_stated_one(cifar_folder):
    _, test, *_ = read_official(cifar_folder)
    stated = open_checkpoint("cifar100").accuracy["cifar-100 test top-1"]
    report = evaluate("cifar100", (test.images[:500], test.labels[:500]))
    assert report.top1 == pytest.approx(stated, abs=0.06)  # three standard errors
