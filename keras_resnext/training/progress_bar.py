"""What the user sees of a run as it trains."""

import contextlib
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, TextIO

import keras

from keras_resnext.training.progress import Progress

LOG_SECONDS = 60.0
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


class ShowProgress(keras.callbacks.Callback):
    """Show an epoch under way as a bar on a terminal, elsewhere by a line a minute; then a line.

    `fit(verbose=1)` fills a log file with a line a step, `fit(verbose=2)` is silent until an epoch
    ends, and neither knows images a second or the time left for the run. Call `fit(verbose=0)`.

    Images a second are those of training: neither validation nor the first step, with its
    compilation, is in them. Each step counts as `batch_size` images, also an epoch's last one,
    which may be smaller. The time left goes by all that a step took so far, validation included.

    The bar is `keras.utils.Progbar`. It reckons from its own beginning, so that of a resumed epoch
    counts the steps that were left; a line above it says where the epoch goes on.

    Args:
        progress: of the run; says where an epoch goes on.
        batch_size: images a step.
        steps_per_epoch: of a whole epoch.
        epochs: of the whole run.
        stream: where to write; None: standard output.
        clock: tells seconds.
    """

    def __init__(
        self,
        progress: Progress,
        batch_size: int,
        steps_per_epoch: int,
        epochs: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.progress = progress
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.stream = stream or sys.stdout
        self.clock = clock
        self._bar: keras.utils.Progbar | None = None
        self._epoch = 0
        self._first_step = 0
        self._line_seconds = 0.0
        self._run_begin: _Mark | None = None
        self._epoch_begin = self._latest = _Mark(0.0, 0)

    def on_epoch_begin(self, epoch, logs=None):
        """Begin a bar."""
        self._epoch = epoch
        self._first_step = self.progress.step
        self._latest = self._epoch_begin = self._mark(epoch, self._first_step)
        self._line_seconds = self._latest.seconds
        if self._first_step:
            self._print(
                f"epoch {epoch + 1}/{self.epochs} goes on after step {self._first_step} of "
                f"{self.steps_per_epoch}"
            )
        if self.stream.isatty():
            with contextlib.redirect_stdout(self.stream):
                self._bar = keras.utils.Progbar(
                    self.steps_per_epoch - self._first_step, stateless_metrics=()
                )

    def on_train_batch_end(self, batch, logs=None):
        """Advance the bar, or write a line now and then."""
        # `batch` is the last step of an execution of several, which may end after the epoch does.
        step = min(self._first_step + batch + 1, self.steps_per_epoch)
        self._latest = self._mark(self._epoch, step)
        if self._run_begin is None:
            self._run_begin = self._epoch_begin = self._latest
        if self._bar:
            values = _metrics(logs)
            if speed := self._speed():
                values.append(("images/s", speed))
            with contextlib.redirect_stdout(self.stream):
                self._bar.update(step - self._first_step, values)
        elif (
            self._latest.seconds - self._line_seconds >= LOG_SECONDS and step < self.steps_per_epoch
        ):
            self._line_seconds = self._latest.seconds
            title = f"epoch {self._epoch + 1}/{self.epochs}, step {step}/{self.steps_per_epoch}"
            self._print(self._line(title, logs, self._latest))

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's line."""
        now = self._mark(epoch + 1, 0)
        self._print(self._line(f"epoch {epoch + 1}/{self.epochs}", logs, now))

    def _mark(self, epoch, step):
        return _Mark(self.clock(), epoch * self.steps_per_epoch + step)

    def _speed(self) -> float | None:
        """Images a second since the epoch began, up to its latest step; None: not known yet."""
        seconds, steps = self._latest.since(self._epoch_begin)
        return self.batch_size * steps / seconds if steps and seconds else None

    def _left(self, now) -> timedelta | None:
        """Time that the rest of the run takes; None: not known yet, or nothing is left."""
        if self._run_begin is None:
            return None
        seconds, steps = now.since(self._run_begin)
        rest = self.epochs * self.steps_per_epoch - now.steps
        return timedelta(seconds=round(seconds / steps * rest)) if steps and rest else None

    def _line(self, title, logs, now):
        parts = [
            f"{name} {value:.2%}" if "accuracy" in name else f"{name} {value:.4f}"
            for name, value in _metrics(logs)
        ]
        if speed := self._speed():
            parts.append(f"{speed:,.1f} images/s")
        if left := self._left(now):
            parts.append(f"{left} left")
        return f"{title}: {', '.join(parts)}"

    def _print(self, line):
        print(line, file=self.stream, flush=True)


def _metrics(logs):
    return [(name, logs[name]) for name in METRICS if name in logs]


class _Mark(NamedTuple):
    """A moment of the run: seconds on the clock, and steps done since the run began."""

    seconds: float
    steps: int

    def since(self, earlier):
        return self.seconds - earlier.seconds, self.steps - earlier.steps
