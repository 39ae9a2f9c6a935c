import json
import shlex
from dataclasses import replace

import keras
import pytest

from keras_resnext.commands.train import parse_train
from keras_resnext.training.loop import RunOptions, train
from keras_resnext.training.report import write_report
from tests.training.left_behind import leave_run
from tests.training.tiny import SETTINGS, shrink


def report(folder):
    write_report(folder)
    return (folder / "report.md").read_text()


def epochs(text):
    table = text.split("## Epochs")[1].split("##")[0]
    return [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][2:]


def command(text, what):
    """Arguments of the script in the command under `what`."""
    line = text.split(f"{what}:\n\n```sh\n")[1].split("\n")[0]
    backend, python, script, *arguments = shlex.split(line)
    assert (backend, python, script) == ("KERAS_BACKEND=jax", "python", "scripts/train.py")
    return arguments


def test_real_run(tmp_path, monkeypatch):
    shrink(monkeypatch)
    settings = replace(SETTINGS, epochs=1, warmup_epochs=0)
    train(settings, tmp_path / "run", RunOptions())
    text = report(tmp_path / "run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert f"**Test accuracy {results['test_accuracy_best']:.2%}**" in text
    assert f"({results['best_validation_accuracy']:.2%} at epoch {results['best_epoch']} " in text
    assert f"{results['test_accuracy_last']:.2%} by the last" in text
    assert epochs(text) == ["**1**"]
    assert f"| backend | {keras.backend.backend()} |" in text
    assert f"keras {keras.__version__}" in text
    assert "| batch_size | 12 |" in text
    assert "](curves.png)" in text
    assert "Continue:" not in text


def test_commands_repeat_and_continue_the_run(tmp_path):
    folder = leave_run(tmp_path / "my run", SETTINGS, [0.5])
    text = report(folder)
    repeated = parse_train(command(text, "Repeat"))
    assert repeated.settings == SETTINGS
    assert repeated.options.run_name == "my run-again"
    resumed = parse_train(command(text, "Continue"))
    assert resumed.options.resume
    assert resumed.options.output_dir / resumed.options.run_name == folder


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([], "**Unfinished: none of 2 epochs.**"),
        (
            [0.5],
            "**Unfinished: 1 of 2 epochs.** Best validation accuracy so far: 50.00% at epoch 1",
        ),
    ],
)
def test_unfinished_run(accuracies, words, tmp_path):
    text = report(leave_run(tmp_path / "run", SETTINGS, accuracies))
    assert words in text
    assert "curves.png" not in text
    assert ("## Epochs" in text) == bool(accuracies)


def test_long_history_is_thinned(tmp_path):
    accuracies = [0.1] * 61
    accuracies[16] = 0.9
    settings = replace(SETTINGS, epochs=61)
    text = report(leave_run(tmp_path / "run", settings, accuracies))
    assert epochs(text) == [*map(str, range(3, 17, 3)), "**17**", *map(str, range(18, 61, 3)), "61"]
    assert "One epoch in 3, the best and the last; the best in bold." in text
