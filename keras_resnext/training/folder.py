"""The folder of a run."""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

from keras_resnext.data import Dataset
from keras_resnext.files import UNFINISHED, write_text
from keras_resnext.training.settings import Settings

SETTINGS_FILE = "settings.toml"
DATASET_FILE = "dataset.json"

# What may differ between a run and its resumption: how far it goes, and where the data lies.
FREE = ("epochs", "data_dir")


class RunError(ValueError):
    """A run cannot start or go on. The message says why and what to do."""


def claim(folder: Path, settings: Settings, resume: bool) -> None:
    """Make a run's folder, or make sure that an existing one is the same run's, to go on with.

    Args:
        folder: `OUTPUT_DIR/RUN_NAME`.
        settings: resolved ones.
        resume: whether the run goes on.

    Raises:
        RunError: the run exists and is not to be resumed; it is to be resumed and does not exist
            or has other settings; the folder cannot be made.
        OSError: the settings cannot be written.
    """
    check(folder, settings, resume)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"output_dir: cannot make {folder}: {error.strerror}") from error
    write_text(folder / SETTINGS_FILE, settings.to_toml())


def check(folder: Path, settings: Settings, resume: bool) -> Settings | None:
    """Raise the errors of `claim`, write nothing, and give the settings a resumed run has had."""
    if not resume:
        if folder.exists() and not _is_empty(folder):
            raise RunError(
                f"the run {folder} exists already; continue it with --resume, or give this one "
                "another --run-name"
            )
        _check_writable(folder)
        return None
    before = settings_of(folder)
    changed = [
        f"{field.name} ({getattr(before, field.name)!r}, now {getattr(settings, field.name)!r})"
        for field in dataclasses.fields(Settings)
        if field.name not in FREE and getattr(before, field.name) != getattr(settings, field.name)
    ]
    if changed:
        raise RunError(
            f"the run {folder} cannot be resumed with other settings: {', '.join(changed)}. "
            "Leave them out, or start a run with another --run-name."
        )
    return before


def _is_empty(folder: Path) -> bool:
    """Whether a kill left it before the run had its settings: there is nothing to continue."""
    return all(path.name.startswith(UNFINISHED) for path in folder.iterdir())


def _check_writable(folder: Path) -> None:
    """Make a file where the folder will be, and remove it."""
    there = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise RunError(
            f"output_dir: cannot write to {there}: {error.strerror}; choose another folder"
        ) from error


def check_space(folder: Path, needed: int) -> None:
    """Make sure that what a run leaves fits on the disk.

    Raises:
        RunError: fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(_nearest(folder)).free
    if free < needed:
        raise RunError(
            f"output_dir: {free / 2**20:,.0f} MiB are free at {folder}, and the run leaves about "
            f"{needed / 2**20:,.0f} MiB, most of it checkpoints; free some, choose another folder "
            "or a lower --keep"
        )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest around it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def settings_of(folder: Path) -> Settings:
    """Read the settings of a run.

    Raises:
        RunError: there is no run in `folder`, or its settings cannot be read.
    """
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


def write_description(folder: Path, dataset: Dataset) -> None:
    """Write `dataset.json`: what a prediction needs to know of the data, without the data.

    Args:
        folder: of the run.
        dataset: gives name, class names, size of the images in pixels and preprocessing.
    """
    preprocessing = dataset.preprocessing
    values = {
        "name": dataset.name,
        "class_names": dataset.class_names,
        "input_shape": dataset.input_shape,
        "resize_size": preprocessing.resize_size,
        "interpolation": preprocessing.interpolation,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
    }
    write_json(folder / DATASET_FILE, values)


def write_json(path: Path, values: dict) -> None:
    """Write a small readable JSON file, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")
