"""What a run would be and take, without running it."""

import io
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from keras_resnext.training.compiled import compiled_network, load_dataset, training_batches
from keras_resnext.training.environment import device
from keras_resnext.training.initial import find_initial
from keras_resnext.training.network import architecture, resolved
from keras_resnext.training.optimizer import build_optimizer
from keras_resnext.training.settings import Settings

MEASURED_STEPS = 2


def dry_run(settings: Settings) -> str:
    """Describe model, data, steps, memory and time of a run. Writes no file.

    The time is that of a few real training steps of the full batch size on this machine, the
    first, with its compilation, apart.

    Returns:
        Text of several lines.

    Raises:
        ValueError: as `train` raises.
    """
    # At full size throughout: that is where a step takes most.
    settings = replace(resolved(settings), small_sizes=(), small_until=())
    weights = _weights(settings)
    dataset = load_dataset(settings)
    batches = training_batches(settings, dataset)
    model = compiled_network(settings, dataset, len(batches))
    summary = io.StringIO()
    model.summary(line_length=100, print_fn=lambda line: summary.write(line + "\n"))
    steps = settings.epochs * len(batches)
    memory = memory_bytes(model, settings.batch_size)
    first, each = _seconds(model, batches)
    return "\n".join(
        [
            summary.getvalue(),
            f"Settings:\n{settings.to_toml()}",
            f"Backend: {keras.config.backend()} on {device()}, precision "
            f"{keras.config.dtype_policy().name}",
            f"Weights to begin with: {weights}",
            f"Data: {dataset.name}, images {dataset.input_shape}, {dataset.num_classes} classes, "
            f"{len(dataset.superclass_names)} superclasses; {len(dataset.train)} training, "
            f"{len(dataset.validation)} validation, {len(dataset.test)} test images; "
            f"{dataset.preprocessing}",
            f"Steps: {settings.epochs} epochs of {len(batches)} steps, {steps} in all",
            "Memory, estimated: "
            + ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in memory.items())
            + f"; together {sum(memory.values()) / 2**20:,.0f} MiB, beside what the backend needs",
            f"Time, from {MEASURED_STEPS} real steps on this machine: {each:.3g} s a step after "
            f"{first:.3g} s for the first (compilation); {_duration(first + each * steps)} for "
            "all training steps, validation not counted",
        ]
    )


def _weights(settings):
    if settings.weights is None:
        return "random ones"
    source = find_initial(settings.weights, architecture(settings))
    if isinstance(source, Path):
        return str(source)
    return f"{source.name} (licence {source.licence}), which a run takes from {source.url} once"


def memory_bytes(model: keras.Model, batch_size: int) -> dict[str, int]:
    """Estimate what a training step keeps in memory, in bytes.

    Activations are the outputs of all layers, each kept for the gradient; what a backend fuses,
    recomputes or needs to work in is not known beforehand.

    Args:
        model: compiled.
        batch_size: images a step.

    Returns:
        Sizes of parameters, gradients, optimizer state and activations.
    """
    build_optimizer(model)
    activations = sum(
        int(np.prod(tensor.shape[1:])) * _item_size(tensor.dtype)
        for layer in model.layers
        for tensor in keras.tree.flatten(layer.output)
    )
    return {
        "parameters": _bytes(model.variables),
        "gradients": _bytes(model.trainable_variables),
        "optimizer": _bytes(model.optimizer.variables),
        "activations": batch_size * activations,
    }


def disk_bytes(model: keras.Model, keep: int) -> int:
    """Estimate what a run leaves on the disk: checkpoints, one more while it is written, weights.

    Args:
        model: compiled.
        keep: checkpoints that are kept.
    """
    build_optimizer(model)
    parameters = _bytes(model.variables)
    return (keep + 1) * (parameters + _bytes(model.optimizer.variables)) + 3 * parameters


def _bytes(variables):
    return sum(int(np.prod(v.shape)) * _item_size(v.dtype) for v in variables)


def _item_size(dtype):
    return 2 if "16" in dtype else np.dtype(dtype).itemsize


def _seconds(model, batches):
    """Time the first step, and the mean of the next ones."""
    times = []
    for index in range(1 + MEASURED_STEPS):
        images, labels = batches.batch(0, index % len(batches))
        begin = time.perf_counter()
        model.train_on_batch(images, labels)
        times.append(time.perf_counter() - begin)
    return times[0], sum(times[1:]) / MEASURED_STEPS


def _duration(seconds):
    hours, minutes = seconds // 3600, seconds / 60 % 60
    return f"{hours:.0f} h {minutes:.0f} min" if hours else f"{minutes:.1f} min"
