import keras
import numpy as np
import pytest

from keras_resnext.native import machine
from keras_resnext.training.loop import train
from keras_resnext.training.options import RunOptions
from tests.training.same_run import rows
from tests.training.tiny import SETTINGS, shrink


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep: expected 1 or more, got 0"),
        ({"checkpoint_every": -1}, "checkpoint_every: expected 0 or more, got -1"),
        ({"steps_per_execution": 0}, "steps_per_execution: expected 1 or more, got 0"),
        ({"run_name": "a/b"}, "run_name: expected a plain name, got 'a/b'"),
    ],
)
def test_names_the_option_that_is_impossible(options, message):
    with pytest.raises(ValueError, match=message):
        RunOptions(**options)


def test_asks_for_a_gpu(monkeypatch):
    monkeypatch.setattr(machine, "accelerators", lambda: ())
    with pytest.raises(ValueError, match=r"gpu: the backend .* finds none on this machine"):
        RunOptions(gpu=True).check_gpu()
    monkeypatch.setattr(machine, "accelerators", lambda: ("gpu:0",))
    RunOptions(gpu=True).check_gpu()


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others can")
def test_pytorch_computes_one_step_at_a_time():
    with pytest.raises(ValueError, match="steps_per_execution: Keras computes one at a time"):
        RunOptions(steps_per_execution=2)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="computes one step at a time")
def test_several_steps_at_a_time_change_nothing_but_rounding(tmp_path, monkeypatch):
    shrink(monkeypatch)
    train(SETTINGS, tmp_path / "one", RunOptions())
    options = RunOptions(steps_per_execution=2, checkpoint_every=1, keep=9)
    train(SETTINGS, tmp_path / "two", options)
    saved = {path.stem for path in (tmp_path / "two/checkpoints").glob("*.json")}
    assert saved == {
        "epoch00000-step0000002",
        "epoch00000-step0000004",
        "epoch00001-step0000000",
        "epoch00001-step0000002",
        "epoch00001-step0000004",
        "epoch00002-step0000000",
    }
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    for mine, expected in zip(two, one, strict=True):
        np.testing.assert_allclose(float(mine["loss"]), float(expected["loss"]), rtol=1e-4)
        assert mine["learning_rate"] == expected["learning_rate"]
