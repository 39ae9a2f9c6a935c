from pathlib import Path

import pytest

from keras_resnext.training import comparison
from keras_resnext.training.comparison import Comparison, compare, relative_differences


def test_relative_differences():
    losses = {"jax": [1.0, 2.0], "torch": [1.1, 2.0], "tensorflow": [1.05, 2.0]}
    assert relative_differences(losses) == pytest.approx([0.1, 0.0])


@pytest.mark.parametrize(("other", "agree"), [(1.0005, True), (1.002, False)])
def test_writes_table_picture_and_verdict(tmp_path, monkeypatch, other, agree):
    def result(backend, settings, max_steps, scratch):
        factor = other if backend == "torch" else 1.0
        return {
            "losses": [factor * 4.5 / (1 + step) for step in range(30)],
            "test_accuracy": 0.2,
            "environment": {"packages": {"keras": "3"}},
        }

    monkeypatch.setattr(comparison, "_run", result)
    assert compare(Comparison(Path(tmp_path / "out"), dataset="demo")) is agree
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"losses.csv", "comparison.md", "comparison.png"}
    text = (tmp_path / "out/comparison.md").read_text()
    assert ("NOT within 0.001" in text) is not agree
    assert "| 20 |" in text
    assert "| 21 |" not in text
