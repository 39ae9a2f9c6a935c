"""Checkpoints: a run's weights, optimizer state and progress, whole and verified."""

import hashlib
import itertools
import json
from pathlib import Path

import keras

from keras_resnext.files import UNFINISHED, write_text, write_weights
from keras_resnext.training.optimizer import build_optimizer
from keras_resnext.training.progress import Progress

WEIGHTS = ".weights.h5"
FORMAT = 2


class CheckpointError(ValueError):
    """No checkpoint can be read. The message says what was found and what to do."""


class Checkpoints:
    """The checkpoints of a run, the newest few, in a folder.

    `keras.callbacks.BackupAndRestore` also saves weights and optimizer state, but it goes on at
    the beginning of an epoch, also where it saved within one; it forgets running metrics, history
    and best value; it writes over its only copy in place, and weights and epoch in two files, so
    that a kill in between leaves the one without the other; and it does not notice damage.

    Here a checkpoint is two files, `NAME.weights.h5` and `NAME.json`. The second holds a SHA-256
    over both and is written last: without it there is no checkpoint.

    Args:
        folder: where they lie; made when the first is saved.
        keep: how many to keep, 1 or more.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder = folder
        self.keep = keep

    def save(self, model: keras.Model, progress: Progress) -> Path:
        """Save a checkpoint, and delete those that are too many.

        Returns:
            Path of its JSON file.

        Raises:
            OSError: it cannot be written; earlier ones are untouched.
        """
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"epoch{progress.epoch:05d}-step{progress.step:07d}.json"
        write_weights(_weights_of(path), model)
        entry = {
            "format": FORMAT,
            "backend": keras.config.backend(),
            "shapes": _shapes(model),
            "progress": json.loads(progress.to_json()),
        }
        write_text(path, json.dumps({**entry, "sha256": _sha256(_weights_of(path), entry)}))
        self._prune(path)
        return path

    def load(self, model: keras.Model) -> Progress | None:
        """Put the newest sound checkpoint's weights and optimizer state into a compiled model.

        A damaged one is passed over for the one before it, with a line that says so. Another line
        says so if the checkpoint is from another backend.

        Returns:
            Its progress; None where there is no checkpoint at all.

        Raises:
            CheckpointError: there are checkpoints, and none is sound; the newest may not be read,
                or another version or another network wrote it.
        """
        try:
            found = self._newest_sound()
        except PermissionError as error:
            raise CheckpointError(
                f"cannot read {error.filename}: {error.strerror}. Get the permission, and start "
                "again with --resume."
            ) from error
        if found is None:
            return None
        path, entry = found
        _restore(model, path, entry)
        return Progress(**entry["progress"])

    def _newest_sound(self) -> tuple[Path, dict] | None:
        problems = []
        for path in reversed(self._entries()):
            try:
                return path, _read(path)
            except (CheckpointError, PermissionError):
                raise
            except (OSError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{path}: {error}")
                print(f"Damaged checkpoint passed over: {problems[-1]}")
        if problems:
            raise CheckpointError(
                f"no sound checkpoint in {self.folder}: {'; '.join(problems)}. "
                "Start anew with another --run-name."
            )
        return None

    def _entries(self) -> list[Path]:
        """JSON files, oldest first."""
        try:
            # Not Path.glob, which takes a folder that may not be read for an empty one.
            return sorted(p for p in self.folder.iterdir() if p.match("epoch*-step*.json"))
        except FileNotFoundError:
            return []

    def _prune(self, newest: Path) -> None:
        """Delete what is too old, what a kill left half done, and what load passed over.

        The last is newer than what was just saved: a run only goes forward.
        """
        entries = self._entries()
        kept = [path for path in entries if path <= newest][-self.keep :]
        for path in set(entries) - set(kept):
            path.unlink()
        for weights in self.folder.glob(f"epoch*{WEIGHTS}"):
            if weights not in map(_weights_of, kept):
                weights.unlink()
        for unfinished in self.folder.glob(f"{UNFINISHED}*"):
            unfinished.unlink()


def _weights_of(entry: Path) -> Path:
    return entry.with_name(entry.stem + WEIGHTS)


def _read(path: Path) -> dict:
    """Read an entry, and make sure that it and its weights are what was written.

    Raises:
        CheckpointError: another version wrote it.
        OSError, ValueError, KeyError, TypeError: it is damaged.
    """
    entry = json.loads(path.read_text(encoding="utf-8"))
    if entry["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {entry['format']!r}, this version reads {FORMAT}. Go on with the "
            "version that wrote it, or start anew with another --run-name."
        )
    expected = entry.pop("sha256")
    if (found := _sha256(_weights_of(path), entry)) != expected:
        raise ValueError(f"has SHA-256 {found}, expected {expected}")
    return entry


def _restore(model: keras.Model, path: Path, entry: dict) -> None:
    """Load weights and optimizer state.

    Keras skips, without an error, arrays that the model has no place for, and the whole state of
    an optimizer with another number of variables; so their shapes are compared first.

    Raises:
        CheckpointError: they are another network's or optimizer's.
    """
    build_optimizer(model)
    problem = _difference(entry["shapes"], _shapes(model))
    if problem is None:
        try:
            model.load_weights(_weights_of(path))
        except ValueError as error:  # the same shapes in other layers
            problem = str(error).splitlines()[0]
    if problem is not None:
        raise CheckpointError(
            f"{path} is another network's or optimizer's: {problem}. Resume with the settings it "
            "was made with, or start anew with another --run-name."
        )
    if entry["backend"] != keras.config.backend():
        print(
            f"{path.name} was made under the Keras backend {entry['backend']}; the run goes on "
            f"under {keras.config.backend()}, but will not be bit-equal to one under a single "
            "backend."
        )


def _difference(found: list, expected: list) -> str | None:
    for number, (theirs, ours) in enumerate(itertools.zip_longest(found, expected), 1):
        if theirs != ours:
            return f"array {number} has shape {theirs}, this network's {ours}"
    return None


def _shapes(model: keras.Model) -> list[list[int]]:
    """Shapes of weights and optimizer state, in Keras' order."""
    return [list(array.shape) for array in [*model.weights, *model.optimizer.variables]]


def _sha256(weights: Path, entry: dict) -> str:
    """Digest of the weights' file and the rest of the entry."""
    with open(weights, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(entry, sort_keys=True).encode())
    return digest.hexdigest()
