"""Checkpoints: a run's weights, optimizer state and progress, whole and verified."""

import hashlib
import json
from pathlib import Path

import keras

from keras_resnext.files import write_text, written_whole
from keras_resnext.training.progress import Progress

WEIGHTS = ".weights.h5"
FORMAT = 1


class CheckpointError(ValueError):
    """No checkpoint can be read. The message says what was found and what to do."""


class Checkpoints:
    """The checkpoints of a run, the newest few, in a folder.

    `keras.callbacks.BackupAndRestore` also saves weights and optimizer state, but it goes on at
    the beginning of an epoch, also where it saved within one; it forgets running metrics, history
    and best value; it writes over its only copy in place, and weights and epoch in two files, so
    that a kill in between leaves the one without the other; and it does not notice damage.

    Here a checkpoint is two files, `NAME.weights.h5` and `NAME.json`. The second holds the first's
    SHA-256 and is written last: without it there is no checkpoint.

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
        name = f"epoch{progress.epoch:05d}-step{progress.step:07d}"
        weights = self.folder / f"{name}{WEIGHTS}"
        with written_whole(weights) as temporary:
            model.save_weights(temporary)
        entry = {
            "format": FORMAT,
            "sha256": _sha256(weights),
            "progress": json.loads(progress.to_json()),
        }
        path = self.folder / f"{name}.json"
        write_text(path, json.dumps(entry))
        self._prune()
        return path

    def load(self, model: keras.Model) -> Progress | None:
        """Put the newest sound checkpoint's weights and optimizer state into a compiled model.

        A damaged one is passed over for the one before it, with a line that says so.

        Returns:
            Its progress; None where there is no checkpoint at all.

        Raises:
            CheckpointError: there are checkpoints, and none is sound.
        """
        problems = []
        for path in reversed(self._entries()):
            try:
                progress = _verified(path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                problems.append(f"{path}: {error}")
                print(f"Damaged checkpoint passed over: {problems[-1]}")
                continue
            model.optimizer.build(model.trainable_variables)
            model.load_weights(_weights_of(path))
            return progress
        if problems:
            raise CheckpointError(
                f"no sound checkpoint in {self.folder}: {'; '.join(problems)}. "
                "Start anew with another --run-name."
            )
        return None

    def _entries(self) -> list[Path]:
        """JSON files, oldest first."""
        return sorted(self.folder.glob("epoch*-step*.json"))

    def _prune(self) -> None:
        kept = self._entries()[-self.keep :]
        for path in set(self._entries()) - set(kept):
            path.unlink()
        for weights in self.folder.glob(f"epoch*{WEIGHTS}"):
            if weights not in map(_weights_of, kept):
                weights.unlink()


def _weights_of(entry: Path) -> Path:
    return entry.with_name(entry.stem + WEIGHTS)


def _verified(path: Path) -> Progress:
    entry = json.loads(path.read_text(encoding="utf-8"))
    if entry["format"] != FORMAT:
        raise ValueError(f"has format {entry['format']!r}, this version reads {FORMAT}")
    if (found := _sha256(_weights_of(path))) != entry["sha256"]:
        raise ValueError(f"its weights have SHA-256 {found}, expected {entry['sha256']}")
    return Progress(**entry["progress"])


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
