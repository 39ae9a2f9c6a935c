"""Runs read back from their folders, one or several, and several side by side."""

import csv
import dataclasses
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from keras_resnext.training.folder import RunError, settings_of
from keras_resnext.training.progress import Row
from keras_resnext.training.settings import Settings


@dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Attributes:
        folder: where it lies.
        settings: of `settings_of`.
        environment: as `environment.json` holds it; empty where there is none.
        history: one row an epoch.
        results: as `results.json` holds them; empty while the run is not finished.
    """

    folder: Path
    settings: Settings
    environment: dict[str, Any]
    history: list[Row]
    results: dict[str, Any]

    @property
    def best(self) -> Row:
        """The row with the highest validation accuracy, the first of equals, as in training.

        Raises:
            ValueError: no epoch is finished.
        """
        return max(self.history, key=lambda row: row["val_accuracy"])


def read_run(folder: Path) -> Run:
    """Read what a run has left so far.

    Raises:
        RunError: there is no run in `folder`, or one of its files cannot be read.
    """
    settings = settings_of(folder)
    environment = _read(folder, "environment.json", json.loads, {})
    history = _read(folder, "history.csv", _rows, [])
    results = _read(folder, "results.json", json.loads, {})
    if results.get("epochs") != len(history):
        results = {}  # of an earlier end, from which the run went on to more epochs
    return Run(folder, settings, environment, history, results)


def read_runs(folders: Sequence[Path]) -> dict[str, Run]:
    """Read several runs to compare, by names that tell them apart.

    A name is that of the folder, or its whole path where several have the same.

    Raises:
        RunError: one is not a run.
        ValueError: there are fewer than two, one is there twice, or one has no finished epoch.
    """
    if len(folders) < 2:
        raise ValueError(f"runs: expected the folders of two runs or more, got {len(folders)}")
    places = Counter(folder.resolve() for folder in folders)
    if twice := [str(folder) for folder, count in places.items() if count > 1]:
        raise ValueError(f"runs: expected each run once, got {', '.join(twice)} more than once")
    names = Counter(folder.resolve().name for folder in folders)
    runs = {}
    for folder in folders:
        run = read_run(folder)
        if not run.history:
            raise ValueError(f"runs: {folder} has no finished epoch yet; leave it out")
        name = folder.resolve().name
        runs[name if names[name] == 1 else str(folder)] = run
    return runs


def compare_runs(runs: Mapping[str, Run]) -> str:
    """Put what runs reached, and the settings in which they differ, into tables of Markdown.

    Args:
        runs: by name, each with one epoch or more.
    """
    reached = {name: _reached(run) for name, run in runs.items()}
    header = ["run", *next(iter(reached.values()))]
    parts = [
        "# Runs side by side",
        table(header, ([name, *cells.values()] for name, cells in reached.items())),
        "The best epoch is that of the highest validation accuracy; test accuracies are those of "
        "its weights and of the last epoch's. Seconds an epoch: the median, validation included.",
        "## Settings that differ",
    ]
    differing = [
        [field.name, *values]
        for field in dataclasses.fields(Settings)
        if len(set(values := [getattr(run.settings, field.name) for run in runs.values()])) > 1
    ]
    parts.append(table(["setting", *runs], differing) if differing else "None.")
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lay out a table in Markdown; sequences become lists, None and empty ones a dash."""
    title, *lines = (f"| {' | '.join(map(_cell, cells))} |" for cells in (header, *rows))
    return "\n".join([title, "|---" * len(header) + "|", *lines])


def _reached(run):
    results = run.results
    return {
        "backend": run.environment.get("backend"),
        "device": run.environment.get("device"),
        "model": run.settings.model,
        "parameters": f"{results['parameters']:,}" if results else None,
        "epochs": f"{len(run.history)} of {run.settings.epochs}",
        "best epoch": f"{run.best['epoch']:.0f}",
        "best validation": f"{run.best['val_accuracy']:.2%}",
        "test (best)": f"{results['test_accuracy_best']:.2%}" if results else None,
        "test (last)": f"{results['test_accuracy_last']:.2%}" if results else None,
        "seconds/epoch": f"{median(row['seconds'] for row in run.history):,.1f}",
    }


def _cell(value):
    if value in (None, (), []):
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text.replace("|", r"\|")


def _read(folder, name, parse, missing):
    path = folder / name
    if not path.is_file():
        return missing
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError) as error:
        raise RunError(
            f"the run {folder} cannot be read: {name}: {error}; mend or delete that file"
        ) from error


def _rows(text):
    return [
        {name: float(cell) for name, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]
