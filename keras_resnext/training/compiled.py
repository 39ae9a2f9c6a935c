"""A network made ready for `fit`."""

from typing import Any

import keras

from keras_resnext.data import Augmentation, Batches, Dataset
from keras_resnext.training.environment import on_accelerator
from keras_resnext.training.network import build_network
from keras_resnext.training.optimizer import CoupledSGD
from keras_resnext.training.schedules import learning_rate
from keras_resnext.training.settings import Settings


def dtype_policy(settings: Settings) -> str:
    """Name of the Keras dtype policy that `precision` means on this machine."""
    if settings.precision != "auto":
        return settings.precision
    return "mixed_bfloat16" if on_accelerator() else "float32"


def compiled_network(settings: Settings, dataset: Dataset, steps_per_epoch: int) -> keras.Model:
    """Build the network to train, which puts out logits, with optimizer, loss and accuracy.

    Sets the global seed and dtype policy.

    Args:
        settings: of the run.
        dataset: gives input shape and classes.
        steps_per_epoch: the schedule goes by it.
    """
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(dtype_policy(settings))
    model = build_network(settings, dataset.input_shape, dataset.num_classes, None)
    model.compile(
        optimizer(settings, steps_per_epoch),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def optimizer(settings: Settings, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with the decay and schedule that the settings name."""
    arguments: dict[str, Any] = {
        "learning_rate": learning_rate(settings, steps_per_epoch),
        "momentum": float(settings.momentum),
        "nesterov": settings.nesterov,
    }
    if settings.weight_decay_kind == "coupled":
        return CoupledSGD(**arguments, coupled_weight_decay=settings.weight_decay)
    return keras.optimizers.SGD(**arguments, weight_decay=settings.weight_decay or None)


def training_batches(
    settings: Settings, dataset: Dataset, first_epoch: int = 0, workers: int = 1
) -> Batches:
    """Shuffled and augmented batches of the training split.

    Raises:
        ValueError: the split is smaller than a batch.
    """
    if settings.batch_size > len(dataset.train):
        raise ValueError(
            f"batch_size: expected at most the {len(dataset.train)} training images of "
            f"{dataset.name}, got {settings.batch_size}"
        )
    return Batches(
        dataset.train,
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        augmentation=Augmentation(
            crop_padding=settings.crop_padding,
            flip=settings.flip,
            rotation_degrees=settings.rotation_degrees,
            padding_colour=settings.padding_colour,
            interpolation=settings.interpolation,
        ),
        drop_remainder=settings.drop_remainder,
        seed=settings.seed,
        first_epoch=first_epoch,
        workers=workers,
    )
