"""Run folders: how a run is kept, what it has left, and several runs side by side."""

import csv
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from keras_resnext import backend
from keras_resnext.files import check_writable, escape, locked, markdown_table, write_text
from keras_resnext.training.checkpoints import Row
from keras_resnext.training.plots import draw_curves
from keras_resnext.training.settings import FREE, Count, Folder, Settings, Whole, checked, option

SETTINGS_FILE = "settings.toml"
RUN_NAME = re.compile(r"\w[\w.,+=@ -]{0,99}")
TEXTS = ("backend", "device", "version")  # columns of history.csv
NUMBERS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
REACHED = ("test_accuracy_best", "test_accuracy_last", "parameters")  # of results.json


class RunError(ValueError):
    """A run cannot start, go on or be read. The message says why and what to do."""


@checked
class RunOptions:
    """Where a run goes and how it is kept, without influence on its outcome.

    Raises:
        ValueError: an option is out of range, or the backend cannot do it.
    """

    output_dir: Folder = Path("runs")
    """Folder of all runs."""
    run_name: str | None = None
    """Folder of this run in it. None: the recipe's name."""
    resume: bool = False
    """Continue the run of that name from its last checkpoint, with its own settings."""
    dry_run: bool = False
    """Print network, data, steps and estimated memory, and write nothing."""
    checkpoint_every: Whole = 0
    """Steps between checkpoints within an epoch; 0: only at each epoch's end and on Ctrl-C."""
    workers: Whole = 2
    """Batches prepared at the same time, ahead of training; 0: none."""
    use_multiprocessing: bool = False
    """Prepare them in processes instead of threads, each of which holds the training images: for a
    GPU and strong augmentation, which keep one core too busy."""
    steps_per_execution: Count = 1
    """Steps computed at a time, without checking loss, signals or checkpoints in between: spares an
    accelerator the wait for Python. Not under PyTorch."""
    devices: Count = 1
    """Devices of this host to train on, each with its part of every batch (TensorFlow, JAX)."""
    distributed: bool = False
    """This is one of several processes of the run (PyTorch by torchrun, JAX)."""
    gpu: bool = False
    """Stop where the backend finds no GPU, instead of training on the CPU."""
    rematerialize: bool = False
    """Train in less memory: compute each block a second time instead of keeping its tensors."""
    tensorboard: bool = False
    """Also write the history for TensorBoard, which needs TensorFlow."""

    def __post_init__(self):
        if self.run_name is not None:
            self.folder(self.run_name)
        if self.steps_per_execution > 1 and backend.NAME == "torch":
            raise ValueError(
                "steps_per_execution: Keras computes one step at a time under PyTorch, got "
                f"{self.steps_per_execution}; leave it out or choose another KERAS_BACKEND"
            )
        if self.use_multiprocessing and not self.workers:
            raise ValueError("use_multiprocessing: --workers 0 leaves none; give 1 or more")

    def folder(self, recipe: str) -> Path:
        """The run's folder, named after the recipe if the run has no name.

        Raises:
            ValueError: it is no plain name.
        """
        name = self.run_name or Path(recipe).stem
        if not RUN_NAME.fullmatch(name) or name[-1] in ". ":
            raise ValueError(
                "--run-name: must be a plain name of letters, digits and .,+=@-_, got "
                f"'{escape(name)}'; choose the folder by --output-dir"
            )
        return self.output_dir / name


def check(folder: Path, settings: Settings, resume: bool) -> Settings | None:
    """Make sure that a run can begin or go on in a folder, and return its settings so far.

    Raises:
        RunError: the run exists, or is to be resumed and does not exist or has other settings.
    """
    if not resume:
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RunError(
                f"the run {folder} exists already; continue it with --resume, or give this one "
                "another --run-name"
            )
        return None
    before = settings_of(folder)
    old, new = before.flat(), settings.flat()
    changed = [
        f"{option(name)} ({old[name]!r}, now {new[name]!r})"
        for name in new
        if name not in FREE and new[name] != old[name]
    ]
    if changed:
        raise RunError(
            f"the run {folder} cannot be resumed with other settings: {', '.join(changed)}. "
            "Leave them out, or start a new run with another --run-name."
        )
    return before


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process; a folder that got nothing is removed again."""
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"the run {folder.name}"):
        try:
            yield
        finally:
            if all(path.name == ".lock" for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)


def settings_of(folder: Path) -> Settings:
    """Read the settings of a run; raises `RunError` where there are none or they are wrong."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        there = sorted(p.parent.name for p in folder.parent.glob(f"*/{SETTINGS_FILE}"))
        raise RunError(
            f"there is no run {folder} (no {SETTINGS_FILE} in it); "
            + (f"runs there: {', '.join(there)}" if there else f"no runs in {folder.parent}")
        )
    try:
        return Settings.from_file(path)
    except ValueError as error:
        raise RunError(str(error)) from error


@dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Attributes:
        settings: as `settings.toml` has them.
        history: one row per epoch, as `history.csv` has them: epoch (from 1), loss, accuracy,
            val_loss, val_accuracy (as fractions), learning_rate (as the epoch ends), seconds
            (validation included), backend, device and version of this package.
        results: as `results.json` has them; empty while the run is not finished.
    """

    settings: Settings
    history: list[Row]
    results: dict[str, Any]


def read_run(folder: Path) -> Run:
    """Read what a run has left so far.

    Raises:
        RunError: there is no run in `folder`, or one of its files cannot be read.
    """
    settings, history, results = settings_of(folder), [], {}
    try:
        if (path := folder / "history.csv").is_file():
            for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
                numbers = {name: float(row[name]) for name in NUMBERS}
                history.append({**numbers, **{name: row[name] for name in TEXTS}})
        if (path := folder / "results.json").is_file():
            results = json.loads(path.read_text(encoding="utf-8"))
            for name in REACHED:
                float(results[name])
    except (OSError, TypeError, ValueError, LookupError) as error:
        raise RunError(f"{path} cannot be read: {error!r}; restore or delete it") from error
    if results.get("epochs") != len(history):
        results = {}  # of an earlier end, from which the run went on to more epochs
    return Run(settings, history, results)


def compare_runs(folders: Sequence[Path], output_dir: Path) -> str:
    """Compare what runs reached and how their settings differ.

    Writes `comparison.md` and `comparison.png` to `output_dir`.

    Returns:
        The tables in Markdown.

    Raises:
        RunError: one is not a run.
        ValueError: there are fewer than two, one is named twice, or one has no finished epoch.
    """
    places = [folder.resolve() for folder in folders]
    if len(set(places)) < max(2, len(places)):
        raise ValueError("RUNS: name the folders of two runs or more, each once")
    unique = len({place.name for place in places}) == len(places)
    runs = {place.name if unique else str(place): read_run(place) for place in places}
    for name, run in runs.items():
        if not run.history:
            raise ValueError(f"RUNS: {name} has no finished epoch yet; leave it out")
    reached = {name: _reached(run) for name, run in runs.items()}
    flat = [run.settings.flat() for run in runs.values()]
    rows = [[name, *(settings[name] for settings in flat)] for name in flat[0]]
    differing = [row for row in rows if any(value != row[1] for value in row[2:])]
    header = ["run", *next(iter(reached.values()))]
    parts = [
        "# Runs side by side",
        markdown_table(header, ([name, *cells.values()] for name, cells in reached.items())),
        "The best epoch is that of the highest validation accuracy. Seconds per epoch: the median.",
        "## Settings that differ",
        markdown_table(["setting", *runs], differing) if differing else "None.",
    ]
    text = "\n\n".join(parts) + "\n"
    write_text(output_dir / "comparison.md", text)
    draw_curves({name: run.history for name, run in runs.items()}, output_dir / "comparison.png")
    return text


def _reached(run: Run) -> dict[str, Any]:
    best = max(run.history, key=lambda row: row["val_accuracy"])  # the first of equals
    tested = {which: run.results.get(f"test_accuracy_{which}") for which in ("best", "last")}
    return {
        "backend": list(dict.fromkeys(row["backend"] for row in run.history)),
        "device": list(dict.fromkeys(row["device"] for row in run.history)),
        "model": run.settings.network.model,
        "parameters": f"{run.results['parameters']:,}" if run.results else None,
        "epochs": f"{len(run.history)} of {run.settings.schedule.epochs}",
        "best epoch": f"{best['epoch']:.0f}",
        "best validation": f"{best['val_accuracy']:.2%}",
        **{f"test ({which})": f"{x:.2%}" if x is not None else None for which, x in tested.items()},
        "seconds per epoch": f"{median(float(row['seconds']) for row in run.history):,.1f}",
    }
