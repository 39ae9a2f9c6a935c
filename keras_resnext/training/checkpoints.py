"""Checkpoints: a run's weights, optimizer state and progress, whole and verified."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
from keras import ops

from keras_resnext import backend
from keras_resnext.backend import Replicas
from keras_resnext.files import write_safetensors
from keras_resnext.training.replicas import check_same, largest

FORMAT = "4"
KEPT = 2
"""Checkpoints that are kept: the newest, and the one before it should that be damaged."""
Row = dict[str, float | str]


class CheckpointError(ValueError):
    """No checkpoint can be read. The message says what was found and what to do."""


@dataclass
class Progress:
    """How far a run has come: what a checkpoint must hold beside weights and optimizer state.

    Nothing else is needed to go on exactly: the data is a pure function of (seed, epoch, step), the
    learning rate is one of the optimizer's step count, and the networks have no random layers.

    Attributes:
        epoch: epochs finished.
        step: steps done in the epoch under way.
        best_epoch: epoch of the best validation accuracy, counted from 1; 0: none yet.
        best_accuracy: that accuracy.
        history: one row per epoch, as `history.csv` has it.
        metrics: state of the running loss and accuracy of the epoch under way.
        seconds: time that the epoch under way has taken so far.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    history: list[Row] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Checkpoints:
    """The checkpoints of a run, the newest few, in a folder.

    `keras.callbacks.BackupAndRestore` goes on at the beginning of an epoch, forgets metrics and
    history, overwrites its only copy in place, and does not notice damage. Here a checkpoint is one
    safetensors file: the arrays by number, in Keras' order, which is the same for all backends; and
    in its metadata the progress and a SHA-256 over everything.

    Args:
        folder: where they lie; made when the first is saved. All processes see it.
        digest: of settings and data. A checkpoint of another digest is refused.
        replicas: of the run. The chief saves while the others wait (one that went on might end, and
            torchrun would kill a chief that still writes); all load.
    """

    def __init__(self, folder: Path, digest: str, replicas: Replicas | None = None):
        self.folder = folder
        self.digest = digest
        self.replicas = replicas or Replicas()

    def save(self, model: keras.Model, progress: Progress) -> None:
        """Save a checkpoint, and delete the oldest.

        Raises:
            OSError: it cannot be written; earlier ones are untouched.
        """
        if self.replicas.is_chief:
            arrays = {
                f"{number:05}": np.asarray(ops.convert_to_numpy(variable), order="C")
                for number, variable in enumerate(_variables(model))
            }
            metadata = {
                "format": FORMAT,
                "backend": backend.NAME,
                "run": self.digest,
                "progress": json.dumps(dataclasses.asdict(progress)),
            }
            metadata["sha256"] = _sha256(metadata, arrays)
            path = self.folder / f"epoch{progress.epoch:05}-step{progress.step:07}.safetensors"
            write_safetensors(path, arrays, metadata)
            self._prune(path)
        largest(0, self.replicas)

    def load(self, model: keras.Model) -> Progress | None:
        """Load the newest intact checkpoint into a compiled model; None if there is none at all.

        A line says so where a damaged one is passed over, or it is from another backend.

        Raises:
            CheckpointError: there are checkpoints, and none is intact; or another version or run
                wrote the newest.
            PermissionError: the newest may not be read.
            ValueError: the processes found different ones.
        """
        found = self._newest()
        check_same("checkpoints", str(found and found[1]["sha256"]), self.replicas)
        if found is None:
            return None
        path, metadata, arrays = found
        if metadata["run"] != self.digest:
            raise CheckpointError(
                f"{path} was saved with other settings or data than this run has now "
                f"({path.parents[1] / 'settings.toml'} was edited, images came or went, or the "
                "file is another run's). Undo that, or start a new run with another --run-name."
            )
        _restore(model, path, arrays)
        if metadata["backend"] != backend.NAME:
            print(
                f"{path.name} was saved under the backend {metadata['backend']}; the run continues "
                f"under {backend.NAME}, and will not be bit-equal to one under a single backend."
            )
        return Progress(**json.loads(metadata["progress"]))

    def _newest(self) -> tuple[Path, dict, dict] | None:
        problems = []
        for path in reversed(self._paths()):
            try:
                return path, *_read(path)
            except (CheckpointError, PermissionError):
                raise
            # All that damage can lead to.
            except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
                problems.append(f"{path}: {error}")
                print(f"Damaged checkpoint passed over: {problems[-1]}")
        if problems:
            raise CheckpointError(
                f"no intact checkpoint in {self.folder}: {'; '.join(problems)}. "
                "Start a new run with another --run-name."
            )
        return None

    def _paths(self) -> list[Path]:
        try:
            # Not Path.glob, which takes a folder that may not be read for an empty one.
            return sorted(p for p in self.folder.iterdir() if p.match("epoch*-step*.safetensors"))
        except FileNotFoundError:
            return []

    def _prune(self, newest: Path) -> None:
        """Delete what is too old, and what `load` passed over: it is newer, as runs go forward."""
        paths = self._paths()
        kept = [path for path in paths if path <= newest][-KEPT:]
        for path in set(paths) - set(kept):
            path.unlink()


def _variables(model: keras.Model) -> list[keras.Variable]:
    if not model.optimizer.built:  # built twice, Keras' LossScaleOptimizer has some of them twice
        model.optimizer.build(model.trainable_variables)
    return [*model.weights, *model.optimizer.variables]


def _sha256(metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    data = path.read_bytes()
    arrays = safetensors.numpy.load(data)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if metadata["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {metadata['format']!r}, this version reads {FORMAT}. Continue with "
            "the version that wrote it, or start a new run with another --run-name."
        )
    expected = metadata.pop("sha256")
    if (found := _sha256(metadata, arrays)) != expected:
        raise ValueError(f"its SHA-256 is {found}, expected {expected}")
    return {**metadata, "sha256": expected}, arrays


def _restore(model: keras.Model, path: Path, arrays: dict[str, np.ndarray]) -> None:
    variables, values = _variables(model), [arrays[name] for name in sorted(arrays)]
    if [tuple(v.shape) for v in variables] != [array.shape for array in values]:
        raise CheckpointError(
            f"{path} belongs to another network or optimizer: its {len(values)} arrays have other "
            f"shapes than this network's {len(variables)}. Start a new run with another --run-name."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def restore_metrics(model: keras.Model, state: list[float]) -> None:
    """Put values of the metrics' variables back into a model compiled in the same way."""
    # Keras makes the variables of compiled metrics when it first computes them.
    outputs = np.zeros((1, model.output_shape[-1]), "float32")
    sparse = isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)
    labels = np.zeros((1,), "int32") if sparse else outputs
    model.compute_metrics(x=None, y=labels, y_pred=outputs)
    for variable, value in zip(model.metrics_variables, state, strict=True):
        variable.assign(value)
