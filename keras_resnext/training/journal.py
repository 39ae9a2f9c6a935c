"""What happened in a run and when, as lines of JSON."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import keras

from keras_resnext.files import write_text
from keras_resnext.training.progress import Progress

JOURNAL_FILE = "journal.jsonl"


class WriteJournal(keras.callbacks.Callback):
    """Append the run's start, resumptions, epochs and end to `journal.jsonl`, as they happen.

    An event is a line with a JSON object: `event` ("start", "resume", "epoch" or "end"), `time`
    (ISO 8601, UTC) and `epoch` (epochs finished). That of an epoch also holds its row of the
    history, the others `step` (steps done of the epoch under way) and `steps` (done in all).

    `keras.callbacks.CSVLogger` appends, too, but knows nothing of a kill: a torn line stays, and
    what a resumed run repeats is in the file twice. Here resuming drops both first.

    Comes after `RecordEpochs`, whose row it writes, and before `SaveCheckpoints`, so that no
    checkpoint knows of an epoch that the journal lacks.

    Args:
        folder: of the run.
        progress: holds the rows; says where the run begins.
        steps_per_epoch: of a whole epoch.
        epochs: of the whole run.
    """

    def __init__(self, folder: Path, progress: Progress, steps_per_epoch: int, epochs: int):
        super().__init__()
        self.path = folder / JOURNAL_FILE
        self.progress = progress
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self._begun = False

    def on_train_begin(self, logs=None):
        """Write start or resumption, once: the rest of a resumed epoch is a `fit` of its own."""
        if self._begun:
            return
        self._begun = True
        if not self.path.exists():
            self._append("start", self._count())
            return
        events = read_journal(self.path)
        kept = [event for event in events if event["epoch"] <= self.progress.epoch]
        write_text(self.path, "".join(map(_line, kept)))
        self._append("resume", self._count())

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's row."""
        self._append("epoch", self.progress.history[-1])

    def on_train_end(self, logs=None):
        """Write the end, where this is the run's."""
        if self.progress.epoch == self.epochs:
            self._append("end", self._count())

    def _count(self):
        steps = self.progress.epoch * self.steps_per_epoch + self.progress.step
        return {"epoch": self.progress.epoch, "step": self.progress.step, "steps": steps}

    def _append(self, name, values):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line({"event": name, "time": now, **values}))
            file.flush()
            os.fsync(file.fileno())


def read_journal(path: Path) -> list[dict]:
    """Read the events of a run, oldest first, without a last line that a kill tore.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not an event.
    """
    *lines, _torn = path.read_text(encoding="utf-8").split("\n")
    return [_event(path, number, line) for number, line in enumerate(lines, start=1)]


def _event(path, number, line):
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not event.keys() >= {"event", "time", "epoch"}:
        raise ValueError(
            f"{path}, line {number}: expected a JSON object with event, time and epoch, "
            f"got {line!r}; delete the line"
        )
    return event


def _line(event):
    return json.dumps(event) + "\n"
