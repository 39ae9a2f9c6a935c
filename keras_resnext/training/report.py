"""A run told on one page."""

import dataclasses
import math
import shlex
from pathlib import Path

from keras_resnext.files import write_text
from keras_resnext.training.folder import SETTINGS_FILE
from keras_resnext.training.runs import Run, read_run, table

REPORT_FILE = "report.md"
MOST_ROWS = 30


def write_report(folder: Path) -> None:
    """Write `report.md` into a run's folder, from what lies there; the run may be unfinished.

    Raises:
        RunError: there is no run in `folder`, or one of its files cannot be read.
        OSError: the report cannot be written.
    """
    write_text(folder / REPORT_FILE, _markdown(read_run(folder)))


def _markdown(run: Run) -> str:
    parts = [f"# {run.folder.name}", _headline(run)]
    if (run.folder / "curves.png").is_file():
        parts.append("![learning curves](curves.png)")
    if run.history:
        parts += ["## Epochs", _epochs(run)]
    settings = ([f.name, getattr(run.settings, f.name)] for f in dataclasses.fields(run.settings))
    parts += ["## Settings", table(["setting", "value"], settings)]
    if run.environment:
        parts += ["## Environment", table(["what", "value"], _environment(run))]
    parts += ["## Commands", _commands(run)]
    return "\n\n".join(parts) + "\n"


def _headline(run):
    epochs = run.settings.epochs
    if not run.history:
        return f"**Unfinished: none of {epochs} epochs.**"
    best = f"{run.best['val_accuracy']:.2%} at epoch {run.best['epoch']:.0f}"
    if not run.results:
        return (
            f"**Unfinished: {len(run.history)} of {epochs} epochs.** Best validation accuracy so "
            f"far: {best}."
        )
    return (
        f"**Test accuracy {run.results['test_accuracy_best']:.2%}**, by the weights with the best "
        f"validation accuracy ({best} of {len(run.history)}); "
        f"{run.results['test_accuracy_last']:.2%} by the last."
    )


def _epochs(run):
    every = math.ceil(len(run.history) / MOST_ROWS)
    header = list(run.history[0])
    rows = []
    for row in run.history:
        if row["epoch"] % every == 0 or row in (run.best, run.history[-1]):
            cells = [_number(name, row[name]) for name in header]
            rows.append([f"**{cell}**" for cell in cells] if row is run.best else cells)
    which = "Every epoch" if every == 1 else f"One epoch in {every}, the best and the last"
    return f"{which}; the best in bold.\n\n{table(header, rows)}"


def _number(name, value):
    if name == "epoch":
        return f"{value:.0f}"
    return f"{value:.2%}" if "accuracy" in name else f"{value:.4g}"


def _environment(run):
    for name, value in run.environment.items():
        if isinstance(value, dict):
            value = [f"{key} {version}" for key, version in value.items()]
        yield name, value


def _commands(run):
    backend = run.environment.get("backend")
    prefix = f"KERAS_BACKEND={backend} " if backend else ""
    name, parent = run.folder.name, str(run.folder.parent)
    train = ["python", "scripts/train.py"]
    resume = ["--resume", "--run-name", name, "--output-dir", parent]
    repeat = ["--recipe", str(run.folder / SETTINGS_FILE), "--run-name", f"{name}-again"]
    commands = {"Repeat": [*train, *repeat, "--output-dir", parent]}
    if not run.results:
        commands = {"Continue": [*train, *resume], **commands}
    return "\n\n".join(
        f"{what}:\n\n```sh\n{prefix}{shlex.join(command)}\n```"
        for what, command in commands.items()
    )
