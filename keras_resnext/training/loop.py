"""`train`: a run from its settings to its results."""

import time
from pathlib import Path

import keras

from keras_resnext import native
from keras_resnext.data import Dataset
from keras_resnext.evaluation import Report, evaluate
from keras_resnext.files import written_whole
from keras_resnext.replicas import Replicas
from keras_resnext.training import folder as run_folder
from keras_resnext.training import scale
from keras_resnext.training.averaging import ValidateAverages
from keras_resnext.training.callbacks import (
    RecordEpochs,
    SaveCheckpoints,
    StopOnNaN,
    WriteHistory,
    write_history,
)
from keras_resnext.training.compiled import (
    compiled_network,
    load_dataset,
    training_batches,
    validation_batches,
)
from keras_resnext.training.environment import environment
from keras_resnext.training.estimate import disk_bytes
from keras_resnext.training.examples import write_examples
from keras_resnext.training.initial import Initial, load_initial, read_initial
from keras_resnext.training.interruption import Interruption
from keras_resnext.training.journal import WriteJournal
from keras_resnext.training.network import architecture, build_network, resolved
from keras_resnext.training.notices import notices
from keras_resnext.training.options import RunOptions
from keras_resnext.training.progress import Progress
from keras_resnext.training.progress_bar import ShowProgress
from keras_resnext.training.remaining import Remaining
from keras_resnext.training.report import write_report
from keras_resnext.training.settings import Settings
from keras_resnext.training.shares import Shares
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
        ValueError: settings, weights and data do not fit (DatasetError among them).
        ConnectionError: the weights to begin with cannot be downloaded.
        Interrupted: a signal came; a checkpoint has been saved.
        Diverged: the loss is not finite any more.
    """
    settings = resolved(settings)
    before = run_folder.check(folder, settings, options.resume)
    if settings.deterministic:
        native.machine.make_deterministic()  # before the backend starts
    replicas = scale.start(options.devices, options.distributed)
    options.check_gpu()
    for text in notices(settings, before):
        print(f"Note: {text}.")
    # Before the data set: it may take long to load.
    initial = None if options.resume else read_initial(settings, architecture(settings))
    dataset = load_dataset(settings)
    scale.check(settings, dataset, replicas)
    scale.check_same("settings", settings.to_toml(), replicas)
    begin = time.monotonic()
    with scale.scope(replicas):
        progress = _fit(settings, dataset, folder, options, replicas, initial)
    return _finish(settings, dataset, folder, progress, time.monotonic() - begin, replicas)


def _fit(
    settings: Settings,
    dataset: Dataset,
    folder: Path,
    options: RunOptions,
    replicas: Replicas,
    initial: Initial | None,
) -> Progress:
    """Train up to the last epoch, from the beginning or from where the run has come to."""
    batches = training_batches(settings, dataset, workers=options.workers, shard=replicas.shard)
    steps = len(batches)
    model = compiled_network(settings, dataset, steps, options.steps_per_execution)
    checkpoints = scale.SharedCheckpoints(folder / "checkpoints", options.keep, replicas)
    progress = checkpoints.load(model) if options.resume else None
    if progress is None and options.resume:  # killed before its first checkpoint
        initial = read_initial(settings, architecture(settings))
    if initial is not None:
        load_initial(model, initial)
    progress = progress or Progress()
    batches.set_epoch(progress.epoch)
    run_folder.check_space(folder, disk_bytes(model, options.keep))
    reports = _reports(settings, folder, options, progress, steps) if replicas.is_chief else []
    if replicas.is_chief:
        run_folder.claim(folder, settings, options.resume)
        run_folder.write_description(folder, dataset)
        write_examples(folder, dataset)
        count = {"replicas": replicas.count, "processes": replicas.process_count}
        run_folder.write_json(folder / "environment.json", {**environment(), **count})
    native.replicas.synchronise(model)
    validation: keras.utils.PyDataset = validation_batches(settings, dataset)
    if replicas.count > 1:
        validation = Shares(validation, len(dataset.validation), replicas)
    with Interruption() as interruption:
        agreed = scale.AgreedInterruption(interruption, replicas)
        arguments = {
            "validation_data": validation,
            # Keras would draw an order of batches of its own; Batches shuffles the samples.
            "shuffle": False,
            "callbacks": [
                *native.replicas.callbacks(),
                agreed,
                StopOnNaN(progress),
                ValidateAverages(),
                RecordEpochs(folder, progress, replicas),
                *reports,
                SaveCheckpoints(checkpoints, progress, agreed, steps, options.checkpoint_every),
            ],
            "verbose": 0,
        }
        if progress.step and progress.epoch < settings.epochs:
            rest = Remaining(batches, progress.epoch, progress.step)
            model.fit(rest, initial_epoch=progress.epoch, epochs=progress.epoch + 1, **arguments)
            batches.set_epoch(progress.epoch)
        # Keras fixes the images' size when a fit begins: one for each size.
        for end in (*settings.small_until, settings.epochs):
            if progress.epoch < (end := min(end, settings.epochs)):
                batches.set_epoch(progress.epoch)
                model.fit(batches, initial_epoch=progress.epoch, epochs=end, **arguments)
    return progress


def _reports(
    settings: Settings, folder: Path, options: RunOptions, progress: Progress, steps: int
) -> list[keras.callbacks.Callback]:
    """Callbacks that tell the user of the run."""
    callbacks = [
        WriteHistory(folder, progress),
        WriteJournal(folder, progress, steps, settings.epochs),
        ShowProgress(progress, settings.batch_size, steps, settings.epochs),
    ]
    return [*callbacks, tensorboard(folder / "tensorboard")] if options.tensorboard else callbacks


def _finish(
    settings: Settings,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
    seconds: float,
    replicas: Replicas,
) -> dict:
    """Evaluate last and best weights on the test split, and save the best as a model.

    Each process evaluates all of it, by itself.
    """
    model = build_network(settings, dataset.input_shape, dataset.num_classes)
    reports: dict[str, Report] = {}
    for name in ("last", "best"):
        model.load_weights(folder / f"{name}.weights.h5")
        reports[name] = evaluate(model, dataset, "test", settings.batch_size)
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
    if replicas.is_chief:
        with written_whole(folder / "model.keras") as temporary:
            model.save(temporary)
        write_history(folder, progress)
        run_folder.write_json(folder / "results.json", results)
        write_report(folder)
    return results
