"""`train`: a run from its settings to its results."""

import time
from pathlib import Path

from keras_resnext.data import Dataset
from keras_resnext.evaluation import Report, evaluate
from keras_resnext.files import written_whole
from keras_resnext.native import machine
from keras_resnext.training import folder as run_folder
from keras_resnext.training.averaging import ValidateAverages
from keras_resnext.training.callbacks import (
    RecordEpochs,
    SaveCheckpoints,
    StopOnNaN,
    WriteHistory,
    write_history,
)
from keras_resnext.training.checkpoints import Checkpoints
from keras_resnext.training.compiled import (
    compiled_network,
    load_dataset,
    training_batches,
    validation_batches,
)
from keras_resnext.training.environment import environment
from keras_resnext.training.estimate import disk_bytes
from keras_resnext.training.initial import load_initial_weights
from keras_resnext.training.interruption import Interruption
from keras_resnext.training.journal import WriteJournal
from keras_resnext.training.network import build_network, resolved
from keras_resnext.training.notices import notices
from keras_resnext.training.options import RunOptions
from keras_resnext.training.progress import Progress
from keras_resnext.training.progress_bar import ShowProgress
from keras_resnext.training.remaining import Remaining
from keras_resnext.training.report import write_report
from keras_resnext.training.settings import Settings
from keras_resnext.training.tensorboard import tensorboard


def train(settings: Settings, folder: Path, options: RunOptions) -> dict:
    """Train a network, and leave weights, history, curves, the model and its accuracy in `folder`.

    Args:
        settings: what decides the outcome.
        folder: of the run.
        options: how the run is kept; `output_dir`, `run_name` and `dry_run` are not read.

    Returns:
        What `results.json` holds.

    Raises:
        RunError: the folder belongs to another run, cannot be written to, or there is nothing to
            resume.
        ValueError: settings and data do not fit (DatasetError among them).
        Interrupted: a signal came; a checkpoint has been saved.
        Diverged: the loss is not finite any more.
    """
    settings = resolved(settings)
    before = run_folder.check(folder, settings, options.resume)
    for text in notices(settings, before):
        print(f"Note: {text}.")
    if settings.deterministic:
        machine.make_deterministic()  # before the backend starts
    options.check_gpu()
    dataset = load_dataset(settings)
    batches = training_batches(settings, dataset, workers=options.workers)
    model = compiled_network(settings, dataset, len(batches), options.steps_per_execution)
    checkpoints = Checkpoints(folder / "checkpoints", options.keep)
    progress = checkpoints.load(model) if options.resume else None
    if progress is None and settings.initial_weights is not None:
        load_initial_weights(model, settings.initial_weights)
    progress = progress or Progress()
    run_folder.check_space(folder, disk_bytes(model, options.keep))
    run_folder.claim(folder, settings, options.resume)
    run_folder.write_description(folder, dataset)
    run_folder.write_json(folder / "environment.json", environment())
    begin = time.monotonic()
    _fit(model, settings, dataset, folder, progress, checkpoints, options)
    write_history(folder, progress)
    results = _finish(settings, dataset, folder, progress, time.monotonic() - begin)
    write_report(folder)
    return results


def _fit(model, settings, dataset, folder, progress, checkpoints, options) -> None:
    batches = training_batches(settings, dataset, progress.epoch, options.workers)
    steps = len(batches)
    callbacks = [
        StopOnNaN(progress),
        ValidateAverages(),
        RecordEpochs(folder, progress),
        WriteHistory(folder, progress),
        WriteJournal(folder, progress, steps, settings.epochs),
        ShowProgress(progress, settings.batch_size, steps, settings.epochs),
    ]
    if options.tensorboard:
        callbacks.append(tensorboard(folder / "tensorboard"))
    with Interruption() as interruption:
        # Last: it counts the steps that the others go by, and raises.
        callbacks.append(
            SaveCheckpoints(checkpoints, progress, interruption, steps, options.checkpoint_every)
        )
        arguments = {
            "validation_data": validation_batches(settings, dataset),
            # Keras would draw an order of batches of its own; Batches shuffles the samples.
            "shuffle": False,
            "callbacks": callbacks,
            "verbose": 0,
        }
        if progress.step and progress.epoch < settings.epochs:
            rest = Remaining(batches, progress.epoch, progress.step)
            model.fit(rest, initial_epoch=progress.epoch, epochs=progress.epoch + 1, **arguments)
            batches.set_epoch(progress.epoch)
        if progress.epoch < settings.epochs:
            model.fit(batches, initial_epoch=progress.epoch, epochs=settings.epochs, **arguments)


def _finish(
    settings: Settings, dataset: Dataset, folder: Path, progress: Progress, seconds: float
) -> dict:
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
