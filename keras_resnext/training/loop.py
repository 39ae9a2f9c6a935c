"""`train`: a run from its settings to its results, and `dry_run`: what it would be."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from math import prod
from pathlib import Path

import keras
import numpy as np

from keras_resnext import backend, data
from keras_resnext.backend import Replicas
from keras_resnext.checkpoint import open_checkpoint, write_config
from keras_resnext.data import Dataset, SharedEvaluation
from keras_resnext.files import figure, write_json, write_text
from keras_resnext.models import load_weights
from keras_resnext.rematerialize import rematerialize, segments
from keras_resnext.training import replicas as scale
from keras_resnext.training import run
from keras_resnext.training.averages import Averages
from keras_resnext.training.callbacks import Interruption, KeepRun, tensorboard
from keras_resnext.training.checkpoints import Checkpoints, Progress
from keras_resnext.training.network import (
    architecture,
    build_network,
    compiled_network,
    origin,
    plain_batches,
    preprocessing,
    resolve,
    statistics_batches,
    training_batches,
)
from keras_resnext.training.run import RunError, RunOptions
from keras_resnext.training.settings import Settings
from keras_resnext.weights.files import without_values


def train(settings: Settings, folder: Path, options: RunOptions) -> dict:
    """Train a network; `folder` becomes a checkpoint with history, curves and results.

    Sets Keras' global seed, and the global dtype policy while it trains.

    Args:
        settings: what decides the outcome.
        folder: of the run.
        options: how the run is kept; `output_dir`, `run_name` and `dry_run` are not read.

    Returns:
        What `results.json` holds.

    Raises:
        RunError: the folder belongs to another run, or there is nothing to resume.
        BlockingIOError: another process trains in the folder.
        OSError: the folder cannot be written to.
        ValueError: settings, weights and data do not fit (DatasetError among them).
        ConnectionError: the initial weights cannot be downloaded.
        Interrupted: a signal came; a checkpoint has been saved.
        Diverged: the loss or a weight is not finite any more.
    """
    settings = resolve(settings)
    before = run.check(folder, settings, options.resume)
    if settings.deterministic:
        backend.native.make_deterministic()  # before the backend starts
    replicas = scale.start(options.devices, options.distributed)
    if options.gpu and not backend.native.accelerators():
        raise ValueError(
            f"--gpu: the backend {backend.NAME} finds none on this machine; leave the option out "
            "to train on the CPU, or install the backend's build for the GPU"
        )
    for sentence in _notes(settings, before):
        print(f"Note: {sentence}.")
    with run.held(folder) if replicas.is_chief else nullcontext(), ExitStack() as after:
        after.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        initial = origin(settings, folder)
        dataset = data.load_dataset(
            settings.data.dataset, settings.data.data_dir, preprocessing(settings, initial)
        )
        scale.check(settings, dataset, replicas)
        scale.check_same("The settings", settings.to_toml(), replicas)
        with scale.scope(replicas):
            license = initial.license if initial else None
            progress = _fit(settings, dataset, folder, options, replicas, license)
        return _finish(settings, dataset, folder, progress, replicas)


def _fit(
    settings: Settings,
    dataset: Dataset,
    folder: Path,
    options: RunOptions,
    replicas: Replicas,
    license: str | None,
) -> Progress:
    """Train up to the last epoch, from the beginning or from where the run has come to."""
    batches = training_batches(
        settings, dataset, options.workers, replicas.shard, options.use_multiprocessing
    )
    steps, epochs = len(batches), settings.schedule.epochs
    model = compiled_network(settings, dataset, steps, options.steps_per_execution)
    if options.rematerialize:
        rematerialize(model)
    digest = settings.digest(str(len(dataset.train)), *dataset.class_names)
    checkpoints = Checkpoints(folder / "checkpoints", digest, replicas)
    progress = checkpoints.load(model) if options.resume else None
    if progress is None and settings.network.weights is not None:
        source = open_checkpoint(settings.network.weights)
        load_weights(model, source.weights(), source.name, any_head=True)
    progress = progress or Progress()
    if progress.best_epoch:
        _check_weights(folder)
    if replicas.is_chief:
        figure()  # without matplotlib the first epoch would be lost before it is saved
        write_text(folder / run.SETTINGS_FILE, settings.to_toml())
        data.write_examples(folder, dataset)
    backend.native.synchronize(model)
    validation: keras.utils.PyDataset = plain_batches(settings, dataset, dataset.validation)
    if replicas.count > 1:
        validation = SharedEvaluation(validation, replicas.count, replicas.shard)

    described = {
        "preprocessing": dataset.preprocessing,
        "class_names": dataset.class_names,
        "trained_on": " after ".join(filter(None, (dataset.name, settings.network.weights))),
        "license": license,
    }
    averages = Averages(partial(statistics_batches, settings, dataset))
    images, every = settings.data.batch_size, options.checkpoint_every
    with Interruption(replicas) as interruption:
        keep = KeepRun(
            folder, described, checkpoints, progress, interruption, averages, steps, images, every
        )
        extra = [tensorboard(folder / "tensorboard")] if options.tensorboard else []
        arguments = {
            "validation_data": validation,
            # Keras would draw an order of batches of its own; Batches shuffles the samples.
            "shuffle": False,
            "callbacks": [
                *backend.native.callbacks(),
                interruption,
                averages,
                *(extra if replicas.is_chief else []),
                keep,
            ],
            "verbose": 1 if sys.stdout.isatty() else 2,
        }
        if progress.step and progress.epoch < epochs:
            rest = batches.from_step(progress.epoch, progress.step)
            model.fit(rest, initial_epoch=progress.epoch, epochs=progress.epoch + 1, **arguments)
        # Keras fixes the images' size when a fit begins: one for each size.
        for end in (*settings.augmentation.small_until, epochs):
            if progress.epoch < (end := min(end, epochs)):
                batches.set_epoch(progress.epoch)
                model.fit(batches, initial_epoch=progress.epoch, epochs=end, **arguments)
    return progress


def _finish(
    settings: Settings, dataset: Dataset, folder: Path, progress: Progress, replicas: Replicas
) -> dict:
    """Evaluate last and best weights on the test split, in each process, and write the results."""
    keras.config.set_dtype_policy("float32")  # as `evaluate` and exports compute
    model = build_network(settings, dataset)
    accuracies: dict[str, float] = {}
    for which in ("last", "best"):
        source = open_checkpoint(folder, which)
        load_weights(model, source.weights(), source.name)
        logits = model.predict(plain_batches(settings, dataset, dataset.test), verbose=0)
        ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        hits = ranked == dataset.test.labels_of()[:, None]
        top1, top5 = float(hits[:, 0].mean()), float(hits.any(axis=1).mean())
        accuracies |= {f"test_accuracy_{which}": top1, f"test_top5_accuracy_{which}": top5}
    results = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_validation_accuracy": progress.best_accuracy,
        **accuracies,
        "parameters": model.count_params(),
        "seconds": round(sum(float(row["seconds"]) for row in progress.history), 1),
        "replicas": replicas.count,
        "processes": replicas.process_count,
        "environment": backend.environment(),
    }
    if replicas.is_chief:
        best = {f"{dataset.name} top-1": top1, f"{dataset.name} top-5": top5}
        write_config(folder, dataclasses.replace(open_checkpoint(folder), accuracy=best))
        write_json(folder / "results.json", results)
    return results


def _check_weights(folder: Path) -> None:
    """Make sure that the weights a run has saved can still be read."""
    for which in ("last", "best"):
        try:
            open_checkpoint(folder, which).weights()
        except (OSError, ValueError) as error:
            raise RunError(
                f"the {which} weights of the run are damaged: {error}. Restore them from a copy, "
                "or start a new run with another --run-name"
            ) from error


def _notes(settings: Settings, before: Settings | None) -> Iterator[str]:
    """What a user should know about a run's settings before it starts, without being wrong."""
    schedule, peak = settings.schedule, settings.peak_learning_rate
    if peak != schedule.learning_rate:
        yield (
            f"--learning-rate {schedule.learning_rate:g} for {schedule.base_batch_size} images "
            f"per update is {peak:g} for this batch size"
        )
    if before and before.schedule.epochs != schedule.epochs and schedule.schedule == "cosine":
        yield (
            f"with --epochs {schedule.epochs} instead of {before.schedule.epochs} the learning "
            "rate follows another cosine from here on"
        )


def dry_run(settings: Settings, rematerialized: bool = False) -> str:
    """Describe network, data, steps and memory of a run, without training or writing anything.

    Memory is estimated from shapes: the outputs of all layers are kept for the gradient, or, if
    rematerialized, those of each block and of the layers of one.

    Raises:
        ValueError: as `train` raises.
    """
    settings = resolve(settings)
    initial = origin(settings)
    dataset = data.load_dataset(
        settings.data.dataset, settings.data.data_dir, preprocessing(settings, initial)
    )
    policy = keras.DTypePolicy(backend.dtype_policy(settings.precision))
    steps = len(training_batches(settings, dataset, workers=0))

    full_size = settings.change(small_sizes=(), small_until=())
    model = without_values(lambda: build_network(full_size, dataset))
    parameters = model.count_params()
    parts = segments(model) if rematerialized else [model]
    sizes = [[prod(layer.output.shape[1:]) for layer in part.layers] for part in parts]
    per_image = max(map(sum, sizes)) + sum(each[-1] for each in sizes[:-1])
    size = 2 if "16" in policy.compute_dtype else 4
    copies = 4 if settings.optimizer.ema_decay else 3  # weights, gradients, momentum, averages
    memory = 4 * copies * parameters + size * settings.data.batch_size * per_image
    epochs = settings.schedule.epochs
    weights = "random"
    if initial is not None:
        weights = f"{initial.name} (license {initial.license}, from {initial.source})"
    return "\n".join(
        [
            f"Settings:\n{settings.to_toml()}",
            f"Network: {architecture(settings)}, {parameters:,} parameters",
            f"Initial weights: {weights}",
            f"Data: {dataset.name}, images {dataset.input_shape}, {dataset.num_classes} classes; "
            f"{len(dataset.train)} training, {len(dataset.validation)} validation, "
            f"{len(dataset.test)} test images; {dataset.preprocessing}",
            f"Steps: {epochs} epochs of {steps} steps, {epochs * steps} in all",
            f"Backend: {backend.NAME} on {backend.device()}, precision {policy.name}",
            f"Memory, estimated: {memory / 2**20:,.0f} MiB, beside what the backend needs",
        ]
    )
