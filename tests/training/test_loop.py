import importlib
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from keras_resnext import backend, from_preset, open_checkpoint
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.files import locked
from keras_resnext.inference import evaluate
from keras_resnext.training import (
    RECIPES,
    CheckpointError,
    Diverged,
    Interrupted,
    RunError,
    RunOptions,
    dry_run,
    read_run,
    shortened,
    train,
)
from keras_resnext.training.network import build_network, resolve
from tests.training.same_run import LAST, Killed, assert_same_run, at_step, kill, rows
from tests.training.tiny import SETTINGS, shrink, tiny_demo

RESUME = RunOptions(resume=True)
ONCE = pytest.mark.skipif(backend.NAME != "tensorflow", reason="the same on each backend")


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


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of that run, with only the first epoch's checkpoint."""
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / LAST).unlink()
    return tmp_path / "run"


def test_leaves_a_checkpoint_and_its_records(whole):
    names = {path.name for path in whole.iterdir() if not path.name.startswith(".")}
    assert names == {
        "checkpoints",
        "config.json",
        "curves.png",
        "examples",
        "history.csv",
        "last.safetensors",
        "model.safetensors",
        "results.json",
        "settings.toml",
    }
    run = read_run(whole)
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert {row["backend"] for row in run.history} == {backend.NAME}
    assert run.results["environment"]["packages"]["keras"] == keras.__version__
    assert run.settings == resolve(SETTINGS)


def test_the_checkpoint_has_the_accuracy_of_the_results(whole):
    dataset, results = tiny_demo(), json.loads((whole / "results.json").read_text())
    checkpoint = open_checkpoint(whole)
    assert checkpoint.class_names == dataset.class_names
    assert checkpoint.preprocessing.mean == pytest.approx(dataset.preprocessing.mean)
    assert checkpoint.accuracy["demo top-1"] == results["test_accuracy_best"]
    report = evaluate(checkpoint, dataset)
    assert report.top1 == pytest.approx(results["test_accuracy_best"])
    assert report.top5 == pytest.approx(results["test_top5_accuracy_best"])


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

    assert not read_run(folder).results
    at_step(monkeypatch, -1, -1, kill)
    train(SETTINGS, folder, RESUME)
    assert_same_run(folder, whole)


@ONCE
def test_a_study_goes_on_with_a_run_killed_before_its_first_checkpoint(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    study = importlib.import_module("study_cardinality")
    at_step(monkeypatch, 0, 1, kill)
    with pytest.raises(Killed):
        study.train(SETTINGS, tmp_path / "run")
    at_step(monkeypatch, -1, -1, kill)
    study.train(SETTINGS, tmp_path / "run")
    assert read_run(tmp_path / "run").results["epochs"] == 2


EVERYTHING = dict(
    accumulate_steps=2,
    clip_norm=1.0,
    ema_decay=0.5,
    label_smoothing=0.1,
    class_weights="balanced",
    frozen_epochs=0.4,
    backbone_rate=0.5,
    mixup=0.2,
    cutmix=1.0,
    erasing=0.5,
    policy="trivialaugment",
    small_sizes=(24,),
    small_until=(1,),
)


def test_everything_on_resumes_exactly(tmp_path, monkeypatch):
    tested_in = []

    def to_test(*arguments):
        tested_in.append(keras.config.dtype_policy().name)
        return build_network(*arguments)

    monkeypatch.setattr("keras_resnext.training.loop.build_network", to_test)
    network = build_network(resolve(SETTINGS), tiny_demo())
    write_checkpoint(tmp_path / "initial", network, preprocessing=None, class_names=None)
    half = backend.NAME == "tensorflow"
    settings = SETTINGS.change(
        **EVERYTHING,
        precision="mixed_float16" if half else "mixed_bfloat16",
        weights=str(tmp_path / "initial"),
        freeze_batch_norm=not half,
    )
    train(settings, tmp_path / "whole", RunOptions(rematerialize=True))
    assert tested_in == ["float32"]  # as exports compute
    assert keras.config.dtype_policy().name == "float32"  # the user's own, as before

    at_step(monkeypatch, 1, 3, kill)
    with pytest.raises(Killed):
        train(settings, tmp_path / "killed", RunOptions(checkpoint_every=1, rematerialize=True))
    at_step(monkeypatch, -1, -1, kill)
    train(settings, tmp_path / "killed", RunOptions(resume=True, rematerialize=True))
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    checkpoint = load_file(tmp_path / "whole" / LAST)
    assert {str(array.dtype) for array in checkpoint.values()} <= {"float32", "int32", "int64"}


@ONCE
@pytest.mark.parametrize("name", ["paper", "modern"])
def test_each_recipe_runs_for_one_epoch(name, tmp_path):
    """`train.py --epochs 1` is the first thing that one types."""
    settings, _ = shortened(RECIPES[name], 1)
    tiny = settings.change(dataset="demo", model="resnext11", cardinality=2, base_width=4)
    results = train(tiny.change(batch_size=12), tmp_path / "run", RunOptions())
    assert results["epochs"] == 1


@pytest.fixture
def photographs(tmp_path):
    """Two classes of pictures of several sizes."""
    split = tiny_demo().train
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        images = split.images[split.labels == label]
        for number, image in enumerate([*images, *images[:, ::-1]]):
            Image.fromarray(image).resize((40 + number, 30)).save(folder / f"{number}.png")
    return tmp_path / "photographs"


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


@pytest.mark.parametrize("freeze", [False, pytest.param(True, marks=ONCE)])
def test_finetuning_trains_the_classifier_first(photographs, tmp_path, freeze):
    initial = build_network(resolve(SETTINGS.change(stem="cifar")), tiny_demo())
    for layer in initial.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.linspace(-0.1, 0.1, layer.moving_mean.shape[0]))
    preprocessing = tiny_demo().preprocessing
    kept = dict(preprocessing=preprocessing, class_names=None, license="cc-by-nc-4.0")
    write_checkpoint(tmp_path / "initial", initial, **kept)
    settings = RECIPES["finetune"].change(
        model="resnext11",
        weights=str(tmp_path / "initial"),
        data_dir=photographs,
        image_size=24,
        crop_padding=2,
        batch_size=4,
        base_batch_size=4,
        epochs=2,
        frozen_epochs=1.0,
        freeze_batch_norm=freeze,
    )
    halfway = {}

    def look(callback):
        weights = callback.model.get_weights()
        halfway.update(zip([v.path for v in callback.model.weights], weights, strict=True))

    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 1, 0, look)
        train(settings, tmp_path / "run", RunOptions())
    checkpoint = open_checkpoint(tmp_path / "run", "last")
    assert checkpoint.license == "cc-by-nc-4.0"  # handed down
    assert checkpoint.class_names == ("cat", "dog")
    assert checkpoint.preprocessing.image_size == 24
    assert checkpoint.preprocessing.mean == pytest.approx(preprocessing.mean)

    last = from_preset(checkpoint)
    normalized = {layer.name for layer in initial.layers if "_bn" in layer.name}
    everything = {layer.name for layer in initial.layers[:-1] if layer.trainable_variables}
    learned = differing_layers(last, initial, "trainable_variables")
    assert learned == (everything - normalized if freeze else everything)
    followed = differing_layers(last, initial, "non_trainable_variables")
    assert followed == (set() if freeze else normalized)
    for layer in initial.layers[1:-1]:
        for variable in layer.trainable_variables:
            np.testing.assert_array_equal(halfway[variable.path], np.array(variable))


@ONCE
@pytest.mark.parametrize(
    ("step", "poisoned", "message"),
    [
        (0, lambda model: model.layers[-1].bias, "loss is nan at epoch 2, step 1"),
        (4, lambda model: model.optimizer.momentums[-1], "weights that are not .* 2, step 5"),
    ],
)
def test_a_diverged_run_stops_and_keeps_its_checkpoint(
    step, poisoned, message, tmp_path, monkeypatch
):
    folder = tmp_path / "run"

    def poison(callback):
        poisoned(callback.model).assign(np.full(12, np.nan))

    at_step(monkeypatch, 1, step, poison)
    with pytest.raises(Diverged, match=f"{message}: .*Lower --learning-rate"):
        train(SETTINGS, folder, RunOptions())
    (latest,) = (folder / "checkpoints").glob("*.safetensors")
    assert latest.name.startswith("epoch00001")
    assert all(np.isfinite(array).all() for array in load_file(latest).values())


@ONCE
class TestRefusals:
    def refused(self, error, message, settings, folder, options=RESUME):
        with pytest.raises(error, match=message) as caught:
            train(settings, folder, options)
        assert "\n" not in str(caught.value)

    def test_another_run_in_the_folder(self, whole):
        self.refused(RunError, "exists already; continue it with", SETTINGS, whole, RunOptions())

    def test_other_settings(self, whole):
        changed = SETTINGS.change(seed=1, cardinality=4)
        message = r"--cardinality \(2, now 4\), --seed \(0, now 1\)"
        self.refused(RunError, message, changed, whole)

    def test_settings_edited_by_hand(self, copied):
        path = copied / "settings.toml"
        path.write_text(path.read_text().replace("learning_rate = 0.02", "learning_rate = 0.5"))
        edited = read_run(copied).settings
        assert edited.schedule.learning_rate == 0.5
        self.refused(CheckpointError, "settings.toml was edited", edited, copied)

    def test_damaged_weights(self, copied):
        path = copied / "model.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        self.refused(RunError, f"weights of the run are damaged: .*{path.name}", SETTINGS, copied)

    def test_a_run_that_is_under_way(self, copied):
        with locked(copied, "the run"):
            self.refused(BlockingIOError, "the run run is already running", SETTINGS, copied)

    def test_a_batch_larger_than_the_data(self, tmp_path):
        message = "--batch-size: must be at most the 60 training images of demo, got 61"
        large = SETTINGS.change(batch_size=61)
        self.refused(ValueError, message, large, tmp_path / "run", RunOptions())
        assert not (tmp_path / "run").exists()

    def test_images_smaller_than_those_of_a_later_epoch(self, tmp_path):
        message = "--small-sizes: must be at most the images' 32 pixels, got 40"
        growing = SETTINGS.change(small_sizes=(16, 40), small_until=(1, 2))
        self.refused(ValueError, message, growing, tmp_path / "run", RunOptions())

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        message = "cannot write to .*file/run: Not a directory"
        self.refused(OSError, message, SETTINGS, tmp_path / "file/run", RunOptions())

    def test_no_matplotlib(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        message = "plots need matplotlib. Type: pip install"
        self.refused(ImportError, message, SETTINGS, tmp_path / "run", RunOptions())
        assert not (tmp_path / "run").exists()

    def test_no_gpu(self, tmp_path, monkeypatch):
        monkeypatch.setattr(backend.native, "accelerators", tuple)
        options = RunOptions(gpu=True)
        self.refused(ValueError, "--gpu: the backend", SETTINGS, tmp_path / "run", options)


@ONCE
def test_a_run_continued_under_another_backend_and_to_more_epochs(copied, monkeypatch, capsys):
    history = [row["backend"] for row in read_run(copied).history]
    assert history == ["tensorflow", "tensorflow"]
    monkeypatch.setattr(backend, "NAME", "jax")
    train(SETTINGS.change(epochs=3), copied, RESUME)
    text = capsys.readouterr().out
    assert "saved under the backend tensorflow; the run continues under jax" in text
    assert "Note: with --epochs 3 instead of 2" in text
    history = [row["backend"] for row in read_run(copied).history]
    assert history == ["tensorflow", "jax", "jax"]


@ONCE
def test_progress_is_shown_with_images_per_second_and_in_tensorboard(tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr("keras_resnext.training.callbacks.SECONDS_BETWEEN_LINES", 0)
    settings = SETTINGS.change(base_batch_size=6, epochs=1, warmup_epochs=0.0)
    train(settings, tmp_path / "run", RunOptions(tensorboard=True))
    text = capsys.readouterr().out
    assert list((tmp_path / "run/tensorboard").rglob("events*"))
    assert "Note: --learning-rate 0.02 for 6 images per update is 0.04 for this batch size." in text
    assert re.search(r"step 3/5: .*loss [\d.]+, images/s [\d.]+\n", text)


def test_a_dry_run_describes_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")  # another program's
    settings = SETTINGS.change(small_sizes=(16,), small_until=(1,))
    text = dry_run(settings)
    parameters = build_network(resolve(settings), tiny_demo()).count_params()
    for words in (
        f"2x4d, {parameters:,} parameters",
        "60 training, 12 validation, 12 test images",
        "2 epochs of 5 steps, 10 in all",
        f"Backend: {backend.NAME} on ",
        "learning_rate = 0.02",
        "Memory, estimated: ",
    ):
        assert words in text
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    def memory(text):
        return int(re.search(r"Memory, estimated: ([\d,]+) MiB", text)[1].replace(",", ""))

    large = RECIPES["paper"].change(dataset="demo", batch_size=60)
    assert memory(dry_run(large, rematerialized=True)) < memory(dry_run(large)) / 2


@ONCE
def test_a_dry_run_of_published_weights_downloads_none(photographs, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = dry_run(RECIPES["finetune"].change(data_dir=photographs, batch_size=2))
    assert "resnext50_32x4d.tv2_in1k (license bsd-3-clause" in text.lower()
    assert "2 classes" in text
