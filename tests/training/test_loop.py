import json
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext.training import callbacks
from keras_resnext.training.callbacks import Diverged
from keras_resnext.training.folder import RunError
from keras_resnext.training.interruption import Interrupted
from keras_resnext.training.loop import train
from keras_resnext.training.options import RunOptions
from tests.training.same_run import Killed, arrays, assert_same_run, at_step, kill, rows
from tests.training.tiny import SETTINGS, shrink, tiny_demo

RESUME = RunOptions(resume=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        train(SETTINGS, folder, RunOptions())
    return folder


def test_leaves_everything(whole):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "best.weights.h5",
        "checkpoints",
        "curves.png",
        "dataset.json",
        "environment.json",
        "examples",
        "history.csv",
        "journal.jsonl",
        "last.weights.h5",
        "model.keras",
        "report.md",
        "results.json",
        "settings.toml",
    }
    assert [row["epoch"] for row in rows(whole)] == ["1", "2"]
    assert (
        json.loads((whole / "environment.json").read_text())["backend"] == keras.backend.backend()
    )
    assert "optimizer" not in str(arrays(whole / "last.weights.h5").keys())
    described = json.loads((whole / "dataset.json").read_text())
    assert len(described["class_names"]) == 12
    assert described["input_shape"] == [32, 32, 3]
    dataset = tiny_demo("demo")
    name = dataset.class_names[3]
    example = np.asarray(Image.open(whole / "examples" / f"{name.replace(' ', '_')}.png"))
    first = np.flatnonzero(dataset.test.labels == 3)[0]
    np.testing.assert_array_equal(example, dataset.test.images[first])
    results = json.loads((whole / "results.json").read_text())
    model = keras.saving.load_model(whole / "model.keras")
    np.testing.assert_array_equal(model.get_weights()[0], best_of(whole, model).get_weights()[0])
    assert 0 <= results["test_accuracy_best"] <= 1


def best_of(folder, model):
    other = keras.models.clone_model(model)
    other.load_weights(folder / "best.weights.h5")
    return other


def test_killed_and_interrupted_and_resumed_equals_uninterrupted(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    at_step(monkeypatch, 0, 3, kill)  # the last checkpoint is from step 2
    with pytest.raises(Killed):
        train(SETTINGS, folder, RunOptions(checkpoint_every=2))

    # A signal before the last step of an epoch: validation still runs.
    at_step(monkeypatch, 0, 4, lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted, match="SIGINT"):
        train(SETTINGS, folder, RESUME)
    assert len(rows(folder)) == 1

    at_step(monkeypatch, 1, 0, lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(SETTINGS, folder, RESUME)

    assert not (folder / "results.json").exists()
    at_step(monkeypatch, -1, -1, kill)
    train(SETTINGS, folder, RESUME)
    assert_same_run(folder, whole)


def test_finished_run_goes_on_with_more_epochs(whole, tmp_path):
    folder = tmp_path / "run"
    short = replace(SETTINGS, schedule="constant", epochs=1)
    train(short, folder, RunOptions())
    train(replace(short, epochs=2), folder, RESUME)
    assert [row["epoch"] for row in rows(folder)] == ["1", "2"]


def test_refuses_to_overwrite(whole):
    with pytest.raises(RunError, match="exists already; continue it with --resume"):
        train(SETTINGS, whole, RunOptions())


def test_refuses_to_resume_with_other_settings(whole):
    changed = replace(SETTINGS, seed=1, cardinality=4)
    with pytest.raises(RunError, match=r"cardinality \(2, now 4\), seed \(0, now 1\)"):
        train(changed, whole, RESUME)


def test_refuses_to_resume_what_is_not_there(whole):
    with pytest.raises(RunError, match=r"there is no run .*other.*runs there: whole"):
        train(SETTINGS, whole.with_name("other"), RESUME)


def test_diverged_run_stops_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def poison(callback):
        callback.model.layers[-1].bias.assign(np.full(12, np.nan))

    at_step(monkeypatch, 1, 0, poison)
    with pytest.raises(Diverged, match=r"loss is nan at epoch 2, step 1.*Lower learning_rate"):
        train(SETTINGS, folder, RunOptions())
    latest = sorted((folder / "checkpoints").glob("*.weights.h5"))[-1]
    assert latest.name.startswith("epoch00001")
    assert all(np.isfinite(array).all() for array in arrays(latest).values())


def test_batch_larger_than_the_data(tmp_path):
    with pytest.raises(ValueError, match="batch_size: expected at most the 60 training images"):
        train(replace(SETTINGS, batch_size=61), tmp_path / "run", RunOptions())
    assert not (tmp_path / "run").exists()


def test_history_is_written_anew(tmp_path):
    progress = callbacks.Progress(
        history=[
            {
                "epoch": 1,
                "loss": 1,
                "accuracy": 0,
                "val_loss": 1,
                "val_accuracy": 0,
                "learning_rate": 0.1,
            }
        ],
        best_epoch=1,
    )
    for _ in range(2):
        callbacks.write_history(tmp_path, progress)
    assert (tmp_path / "history.csv").read_text().count("\n") == 2
