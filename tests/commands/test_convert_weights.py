import re

import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.commands.convert_weights import main


@pytest.fixture
def model():
    return ResNeXt((1, 1), cardinality=2, stem="deep", shortcut="average_pool", classes=5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".keras"])
def test_there_and_back(model, suffix, tmp_path, capsys):
    if suffix == ".pth":
        pytest.importorskip("torch")
    model.save_weights(tmp_path / "mine.weights.h5")
    theirs, back = tmp_path / f"theirs{suffix}", tmp_path / "back.weights.h5"
    assert main([str(tmp_path / "mine.weights.h5"), str(theirs)]) == 0
    assert main([str(theirs), str(back)]) == 0
    assert "stage_blocks=(1, 1), cardinality=2" in capsys.readouterr().out
    again = ResNeXt((1, 1), cardinality=2, shortcut="average_pool", weights=back)
    for ours, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_branches_and_a_network_without_top_become_a_state_dict(tmp_path):
    model = ResNeXt((1, 1), cardinality=2, block="branches", include_top=False)
    model.save(tmp_path / "mine.keras")
    assert main([str(tmp_path / "mine.keras"), str(tmp_path / "theirs.safetensors")]) == 0
    weights = tmp_path / "theirs.safetensors"
    again = ResNeXt((1, 1), cardinality=2, block="branches", include_top=False, weights=weights)
    x = np.ones((1, 16, 16, 3), "float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("mine.weights.h5", "theirs.npz", "target: expected a name that ends in .weights.h5"),
        ("mine.weights.h5", "no/theirs.pth", "target: .*no is no folder"),
        ("other.pth", "theirs.keras", "source: expected a file, or published weights by name"),
        ("mine.weights.h5", "mine.weights.h5", "is the source; give another name"),
    ],
)
def test_impossible(model, source, target, message, tmp_path, capsys):
    model.save_weights(tmp_path / "mine.weights.h5")
    assert main([str(tmp_path / source), str(tmp_path / target)]) == 1
    assert re.search(message, capsys.readouterr().err)
