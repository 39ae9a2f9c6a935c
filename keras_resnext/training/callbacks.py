"""What happens between the steps of `fit`."""

import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_resnext import backend
from keras_resnext.backend import Replicas
from keras_resnext.checkpoint import WEIGHTS, write_checkpoint
from keras_resnext.files import require, write_csv
from keras_resnext.training.averages import Averages
from keras_resnext.training.checkpoints import Checkpoints, Progress, restore_metrics
from keras_resnext.training.plots import draw_curves
from keras_resnext.training.replicas import alone, largest

SECONDS_BETWEEN_LINES = 60


class Diverged(ArithmeticError):  # noqa: N818 - names what happened
    """The loss or a weight is not finite any more. The message says where, and what to do."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training stopped on the signal `signal_number`, with a checkpoint saved."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class Interruption(keras.callbacks.Callback):
    """While entered, the first SIGINT or SIGTERM is noted; a second one acts as usual.

    An exception in the middle of a step would leave weights and optimizer state between two steps.
    All processes of a run see a signal that any of them got at the end of the same step, as
    `signal_number`. Outside the main thread Python delivers no signals.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, replicas: Replicas):
        super().__init__()
        self.signal_number: int | None = None
        self._replicas = replicas
        self._received = 0
        self._before: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number, _frame):
        self._received = number
        self.__exit__()
        with suppress(OSError):  # print would fail within another print
            os.write(2, b"\nStopping after this step; again to stop at once.\n")

    def on_train_batch_end(self, batch, logs=None):
        """Ask the other processes."""
        self.signal_number = int(largest(self._received, self._replicas)) or None

    def on_epoch_end(self, epoch, logs=None):
        """Ask again: validation takes long."""
        self.on_train_batch_end(None)


@dataclass(eq=False)
class KeepRun(keras.callbacks.Callback):
    """Count epochs and steps, record epochs, save weights and checkpoints, and know when to stop.

    Comes last, as it raises `Interrupted` on a signal, which during validation takes effect at the
    end of the epoch, and `Diverged` once the loss or, before they are saved, a weight is not
    finite. `keras.callbacks.TerminateOnNaN` only asks `fit` to stop, which still validates and ends
    the epoch as if all were well. `keras.callbacks.ModelCheckpoint` and `CSVLogger` write in place:
    a kill loses the best weights, and an epoch that is repeated after it is in the history twice.

    Args:
        folder: of the run, for its weights, history and curves.
        described: what else `write_checkpoint` takes.
        checkpoints: where to save the progress, with weights and optimizer.
        progress: is kept up to date; says where this `fit` goes on.
        interruption: asks to stop.
        averages: are saved as they were validated.
        steps_per_epoch: of a whole one.
        batch_size: images per step.
        every: steps between checkpoints within an epoch; 0: none there.
    """

    folder: Path
    described: dict[str, Any]
    checkpoints: Checkpoints
    progress: Progress
    interruption: Interruption
    averages: Averages
    steps_per_epoch: int
    batch_size: int
    every: int = 0

    def __post_init__(self):
        super().__init__()

    def on_epoch_begin(self, epoch, logs=None):
        """Let running loss and accuracy continue where the checkpoint left them."""
        self._first_step = self.progress.step
        self._since = self._begin = self._last_line = time.monotonic()
        if self.progress.step:
            restore_metrics(self.model, self.progress.metrics)

    def on_train_batch_end(self, batch, logs=None):
        """Count the steps: `batch` is the last of those computed at a time."""
        before, now = self.progress.step, time.monotonic()
        done = min(batch + 1, self.steps_per_epoch - self._first_step)
        self.progress.step = self._first_step + done
        if not math.isfinite(logs["loss"]):
            self._stop_diverged(f"loss is {logs['loss']}")
        logs["images/s"] = done * self.batch_size / (now - self._begin)  # for the progress bar
        if not sys.stdout.isatty() and now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            figures = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
            print(f"  step {self.progress.step}/{self.steps_per_epoch}: {figures}", flush=True)
        if self.progress.step == self.steps_per_epoch:
            return  # the epoch's end follows, and saves
        wanted = self.every and self.progress.step // self.every > before // self.every
        if wanted or self.interruption.signal_number is not None:
            self._check_weights()
            state = self.model.metrics_variables
            self.progress.metrics = [float(ops.convert_to_numpy(total)) for total in state]
            self._count_seconds()
            self.checkpoints.save(self.model, self.progress)
        self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        """Record the epoch and save."""
        self._check_weights()
        progress = self.progress
        self._count_seconds()
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = round(progress.seconds, 3)
        row["backend"] = backend.NAME
        row["device"] = backend.device()
        row["version"] = backend.versions().get("keras-resnext", "")
        progress.history.append(row)
        names = [WEIGHTS["last"]]
        if row["val_accuracy"] > progress.best_accuracy:  # the first of equals
            progress.best_accuracy, progress.best_epoch = row["val_accuracy"], epoch + 1
            names.insert(0, WEIGHTS["best"])  # a folder with config.json is one that opens
        progress.epoch, progress.step, progress.metrics, progress.seconds = epoch + 1, 0, [], 0.0
        with self.averages.in_place(), alone():
            if self.checkpoints.replicas.is_chief:
                for name in names:
                    write_checkpoint(self.folder, self.model, weights_file=name, **self.described)
                write_csv(self.folder / "history.csv", progress.history)
                curves = {self.folder.resolve().name: progress.history}
                draw_curves(curves, self.folder / "curves.png")
        self.checkpoints.save(self.model, progress)
        self._stop_if_asked()

    def _check_weights(self):
        """What the last step did to them shows in no loss yet."""
        if not all(np.isfinite(weights).all() for weights in self.model.get_weights()):
            self._stop_diverged("there are weights that are not finite")

    def _stop_diverged(self, found):
        raise Diverged(
            f"{found} at epoch {self.progress.epoch + 1}, step {self.progress.step}: training has "
            "diverged. Lower --learning-rate or raise --warmup-epochs."
        )

    def _count_seconds(self):
        now = time.monotonic()
        self.progress.seconds += now - self._since
        self._since = now

    def _stop_if_asked(self):
        if self.interruption.signal_number is not None:
            raise Interrupted(self.interruption.signal_number)


def tensorboard(folder: Path) -> keras.callbacks.Callback:
    """The callback that writes each epoch's metrics, counted from 0, for TensorBoard."""
    needs = "--tensorboard needs TensorFlow, under every backend", "tensorflow tensorboard"
    require("tensorboard", *needs)
    tensorflow = require("tensorflow", *needs)
    if backend.NAME != "tensorflow":
        # TensorFlow would reserve the accelerator's memory, which the backend needs.
        tensorflow.config.set_visible_devices([], "GPU")
    # The graph would be a picture of thousands of layers, written anew each time.
    return keras.callbacks.TensorBoard(folder, write_graph=False)
