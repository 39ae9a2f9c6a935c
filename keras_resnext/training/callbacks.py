"""What happens between the steps of `fit`."""

import csv
import io
import math
import time
from pathlib import Path

import keras

from keras_resnext.files import write_text, write_weights
from keras_resnext.replicas import Replicas
from keras_resnext.training.averaging import averaged
from keras_resnext.training.checkpoints import Checkpoints
from keras_resnext.training.curves import draw_curves
from keras_resnext.training.interruption import Interrupted
from keras_resnext.training.metrics import metrics_state, restore_metrics
from keras_resnext.training.progress import Progress
from keras_resnext.training.report import write_report
from keras_resnext.training.scale import AgreedInterruption, alone


class Diverged(ArithmeticError):  # noqa: N818 - names what happened
    """The loss is not a number any more. The message says where, and what to do."""


class StopOnNaN(keras.callbacks.Callback):
    """Raise `Diverged` once the loss is not finite.

    `keras.callbacks.TerminateOnNaN` asks `fit` to stop, which still runs the validation and ends
    the epoch as if all were well, so that worthless weights reach the checkpoint.

    Args:
        progress: of the run; kept by `SaveCheckpoints`.
    """

    def __init__(self, progress: Progress):
        super().__init__()
        self.progress = progress

    def on_train_batch_end(self, batch, logs=None):
        """Look at the running loss."""
        if not math.isfinite(logs["loss"]):
            raise Diverged(
                f"loss is {logs['loss']} at epoch {self.progress.epoch + 1}, step "
                f"{self.progress.step + 1}: training has diverged. Lower learning_rate or raise "
                "warmup_epochs. The last checkpoint is from before this step."
            )


class RecordEpochs(keras.callbacks.Callback):
    """Add a row to the history each epoch, and save the last and the best weights.

    `keras.callbacks.ModelCheckpoint` writes in place: a kill while it writes loses the best
    weights. Best is the highest validation accuracy, the first of equals. Where the optimizer keeps
    averages of the weights, these are saved.

    Args:
        folder: gets `last.weights.h5` and `best.weights.h5`, without optimizer state.
        progress: gets the row and the best value.
        replicas: of the run; its chief saves.
    """

    def __init__(self, folder: Path, progress: Progress, replicas: Replicas):
        super().__init__()
        self.folder = folder
        self.progress = progress
        self.replicas = replicas
        self._begin = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Look at the clock."""
        self._begin = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Record and save."""
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        rate = self.model.optimizer.learning_rate
        row["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        row["seconds"] = round(time.monotonic() - self._begin, 3)
        self.progress.history.append(row)
        names = ["last"]
        if row["val_accuracy"] > self.progress.best_accuracy:
            self.progress.best_accuracy = row["val_accuracy"]
            self.progress.best_epoch = epoch + 1
            names.append("best")
        with averaged(self.model):
            if self.replicas.is_chief:
                with alone():
                    # Not compiled, a model over the same layers has no optimizer state to save.
                    weights_only = keras.Model(self.model.inputs, self.model.outputs)
                    for name in names:
                        write_weights(self.folder / f"{name}.weights.h5", weights_only)


class SaveCheckpoints(keras.callbacks.Callback):
    """Keep count of epochs and steps, save checkpoints, and stop on a signal.

    Comes last: the row of `RecordEpochs` belongs into the epoch's checkpoint, and it raises
    `Interrupted`. A signal during validation is heeded at the end of the epoch.

    Args:
        checkpoints: where to save.
        progress: is kept up to date; says where this `fit` goes on.
        interruption: asks to stop.
        steps_per_epoch: of a whole epoch.
        every: steps between checkpoints within an epoch; 0: none there.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        interruption: AgreedInterruption,
        steps_per_epoch: int,
        every: int = 0,
    ):
        super().__init__()
        self.checkpoints = checkpoints
        self.progress = progress
        self.interruption = interruption
        self.steps_per_epoch = steps_per_epoch
        self.every = every
        self._first_step = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Let running loss and accuracy go on where the checkpoint left them."""
        self._first_step = self.progress.step
        if self.progress.step:
            restore_metrics(self.model, self.progress.metrics)

    def on_train_batch_end(self, batch, logs=None):
        """Count the steps: `batch` is the last of those computed at a time."""
        before = self.progress.step
        self.progress.step = min(self._first_step + batch + 1, self.steps_per_epoch)
        if self.progress.step == self.steps_per_epoch:
            return  # the epoch's end follows, and saves
        wanted = self.every and self.progress.step // self.every > before // self.every
        if wanted or self.interruption.signal_number is not None:
            self.progress.metrics = metrics_state(self.model)
            self.checkpoints.save(self.model, self.progress)
        self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        """Count the epoch."""
        self.progress.epoch = epoch + 1
        self.progress.step = 0
        self.progress.metrics = []
        self.checkpoints.save(self.model, self.progress)
        self._stop_if_asked()

    def _stop_if_asked(self):
        if self.interruption.signal_number is not None:
            raise Interrupted(self.interruption.signal_number)


class WriteHistory(keras.callbacks.Callback):
    """Write `history.csv`, `curves.png` and `report.md`, anew each epoch, from the progress.

    `keras.callbacks.CSVLogger` appends: an epoch that a kill made the run repeat would be in the
    file twice.

    Args:
        folder: where they go.
        progress: holds the rows.
    """

    def __init__(self, folder: Path, progress: Progress):
        super().__init__()
        self.folder = folder
        self.progress = progress

    def on_epoch_end(self, epoch, logs=None):
        """Write them."""
        write_history(self.folder, self.progress)
        write_report(self.folder)


def write_history(folder: Path, progress: Progress) -> None:
    """Write `history.csv` and `curves.png` into a run's folder."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(progress.history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(progress.history)
    write_text(folder / "history.csv", text.getvalue())
    draw_curves(progress, folder / "curves.png")
