"""`train`: a run from its settings to its results."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from keras_resnext import data
from keras_resnext.evaluation import Report, evaluate
from keras_resnext.files import written_whole
from keras_resnext.training import folder as run_folder
from keras_resnext.training.callbacks import (
    RecordEpochs,
    SaveCheckpoints,
    StopOnNaN,
    WriteHistory,
    write_history,
)
from keras_resnext.training.checkpoints import Checkpoints
from keras_resnext.training.compiled import compiled_network, training_batches
from keras_resnext.training.environment import environment
from keras_resnext.training.interruption import Interruption
from keras_resnext.training.network import build_network, resolved
from keras_resnext.training.progress import Progress
from keras_resnext.training.remaining import Remaining
from keras_resnext.training.settings import Settings


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and how it is kept, without influence on its outcome."""

    output_dir: Path = Path("runs")
    """Folder of all runs."""
    run_name: str | None = None
    """Folder of this run within it; left out: the recipe's name."""
    resume: bool = False
    """Continue the run of that name from its last checkpoint, with its own settings."""
    dry_run: bool = False
    """Print model, data, steps, estimated memory and time, and write nothing."""
    checkpoint_every: int = 0
    """Steps between checkpoints within an epoch; 0: one at each epoch's end and on Ctrl-C."""
    keep: int = 2
    """How many checkpoints to keep."""
    workers: int = 1
    """Threads that prepare batches ahead; 0: none."""

    def __post_init__(self):
        for name, least in (("checkpoint_every", 0), ("keep", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)!r}")
        if self.run_name is not None and Path(self.run_name).name != self.run_name:
            raise ValueError(
                f"run_name: expected a plain name, got {self.run_name!r}; "
                "choose the folder by output_dir"
            )


def train(settings: Settings, folder: Path, options: RunOptions) -> dict:
    """Train a network, and leave weights, history, curves, the model and its accuracy in `folder`.

    Args:
        settings: what decides the outcome.
        folder: of the run.
        options: `resume`, `checkpoint_every`, `keep` and `workers`.

    Returns:
        What `results.json` holds.

    Raises:
        RunError: the folder belongs to another run, or there is nothing to resume.
        ValueError: settings and data do not fit (DatasetError among them).
        Interrupted: a signal came; a checkpoint has been saved.
        Diverged: the loss is not finite any more.
    """
    settings = resolved(settings)
    run_folder.check(folder, settings, options.resume)
    dataset = data.load(settings.dataset, settings.data_dir)
    batches = training_batches(settings, dataset, workers=options.workers)
    model = compiled_network(settings, dataset, len(batches))
    checkpoints = Checkpoints(folder / "checkpoints", options.keep)
    progress = (checkpoints.load(model) if options.resume else None) or Progress()
    run_folder.claim(folder, settings, options.resume)
    run_folder.write_json(folder / "environment.json", environment())
    begin = time.monotonic()
    _fit(model, settings, dataset, folder, progress, checkpoints, options)
    write_history(folder, progress)
    return _finish(settings, dataset, folder, progress, time.monotonic() - begin)


def _fit(model, settings, dataset, folder, progress, checkpoints, options) -> None:
    batches = training_batches(settings, dataset, progress.epoch, options.workers)
    with Interruption() as interruption:
        arguments = {
            "validation_data": data.Batches(
                dataset.validation, dataset, batch_size=settings.batch_size
            ),
            # Keras would draw an order of batches of its own; Batches shuffles the samples.
            "shuffle": False,
            "callbacks": [
                StopOnNaN(progress),
                RecordEpochs(folder, progress),
                WriteHistory(folder, progress),
                SaveCheckpoints(
                    checkpoints, progress, interruption, len(batches), options.checkpoint_every
                ),
            ],
            # A progress bar in a log file would be a thousand lines.
            "verbose": 1 if sys.stdout.isatty() else 2,
        }
        if progress.step and progress.epoch < settings.epochs:
            rest = Remaining(batches, progress.epoch, progress.step)
            model.fit(rest, initial_epoch=progress.epoch, epochs=progress.epoch + 1, **arguments)
            batches.set_epoch(progress.epoch)
        if progress.epoch < settings.epochs:
            model.fit(batches, initial_epoch=progress.epoch, epochs=settings.epochs, **arguments)


def _finish(settings, dataset, folder, progress, seconds) -> dict:
    """Evaluate last and best weights on the test split, and save the best as a model."""
    model = build_network(settings, dataset.input_shape, dataset.num_classes)
    reports: dict[str, Report] = {}
    for name in ("last", "best"):
        model.load_weights(folder / f"{name}.weights.h5")
        reports[name] = evaluate(model, dataset, "test", settings.batch_size)
    with written_whole(folder / "model.keras") as temporary:
        model.save(temporary)
    results = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_validation_accuracy": progress.best_accuracy,
        "test_accuracy_best": reports["best"].top1,
        "test_top5_accuracy_best": reports["best"].top5,
        "test_accuracy_last": reports["last"].top1,
        "test_top5_accuracy_last": reports["last"].top5,
        "parameters": model.count_params(),
        "seconds": round(seconds, 1),
    }
    run_folder.write_json(folder / "results.json", results)
    return results
