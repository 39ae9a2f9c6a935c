"""A network made ready for `fit`, and the data it trains on."""

from typing import Any

import keras

from keras_resnext import data
from keras_resnext.data import Augmentation, Batches, Dataset
from keras_resnext.data.mixing import Mixing
from keras_resnext.layers import BatchNorm
from keras_resnext.training.initial import preprocessing_of
from keras_resnext.training.network import build_network
from keras_resnext.training.optimizer import CoupledSGD
from keras_resnext.training.precision import dtype_policy
from keras_resnext.training.schedules import learning_rate
from keras_resnext.training.settings import Settings
from keras_resnext.training.weighting import class_weighted


def compiled_network(
    settings: Settings, dataset: Dataset, steps_per_epoch: int, steps_per_execution: int = 1
) -> keras.Model:
    """Build the network to train, which puts out logits, with optimizer, loss and accuracy.

    Sets the global seed and dtype policy.

    Args:
        settings: of the run.
        dataset: gives input shape and classes.
        steps_per_epoch: the schedule goes by it.
        steps_per_execution: as of `keras.Model.compile`.

    Raises:
        ValueError: a class that is to be weighed has no training image.
    """
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(dtype_policy(settings.precision))
    shape = (None, None, 3) if settings.small_sizes else dataset.input_shape
    model = build_network(settings, shape, dataset.num_classes, None)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.synchronized = settings.batch_norm == "synchronised"
            # Averages of weights need statistics of as many steps: timm averages both, too.
            layer.momentum = settings.ema_decay or layer.momentum
            # Keras' layer then computes as in inference, and its weights stay as they are.
            layer.trainable = not settings.freeze_batch_norm
    if settings.class_weights == "balanced":
        model = class_weighted(model, dataset, settings.label_smoothing)
    loss: keras.losses.Loss
    if one_hot(settings):
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer(settings, steps_per_epoch),
        loss=loss,
        weighted_metrics=["accuracy"],  # on several devices some samples are there to fill up
        steps_per_execution=steps_per_execution,
    )
    return model


def optimizer(settings: Settings, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with the decay and schedule that the settings name."""
    arguments: dict[str, Any] = {
        "learning_rate": learning_rate(settings, steps_per_epoch),
        "momentum": float(settings.momentum),
        "nesterov": settings.nesterov,
        "global_clipnorm": settings.clip_norm or None,
    }
    if settings.accumulate_steps > 1:
        arguments["gradient_accumulation_steps"] = settings.accumulate_steps
    if settings.weight_decay_kind == "decoupled":
        return keras.optimizers.SGD(**arguments, weight_decay=settings.weight_decay or None)
    if settings.ema_decay:
        arguments |= {"use_ema": True, "ema_momentum": settings.ema_decay}
    return CoupledSGD(
        **arguments,
        coupled_weight_decay=settings.weight_decay,
        backbone_rate=settings.backbone_rate,
        layer_decay=settings.layer_decay,
        frozen_steps=round(settings.frozen_epochs * steps_per_epoch),
    )


def one_hot(settings: Settings) -> bool:
    """Whether labels are probabilities of all classes instead of the number of one."""
    return bool(settings.label_smoothing) or mixes(settings) or settings.class_weights == "balanced"


def mixes(settings: Settings) -> bool:
    """Whether training images are mixed with others."""
    return bool(settings.mixup or settings.cutmix)


def load_dataset(settings: Settings) -> Dataset:
    """Load the data set that the settings, resolved ones, name.

    Raises:
        ValueError: (DatasetError) it is not there or damaged.
        ImportError: what reading it needs is not installed.
    """
    return data.load(settings.dataset, settings.data_dir, preprocessing=preprocessing_of(settings))


def training_batches(
    settings: Settings,
    dataset: Dataset,
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
) -> Batches:
    """Shuffled and augmented batches of the training split.

    Raises:
        ValueError: the split is smaller than a batch, or the shards cannot be equal.
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
            policy=settings.policy,
            erasing=settings.erasing,
        ),
        mixing=Mixing(settings.mixup, settings.cutmix) if mixes(settings) else None,
        one_hot=one_hot(settings),
        small_sizes=settings.small_sizes,
        small_until=settings.small_until,
        drop_remainder=settings.drop_remainder,
        seed=settings.seed,
        workers=workers,
        shard=shard,
    )


def validation_batches(settings: Settings, dataset: Dataset) -> Batches:
    """Batches of the validation split, as they are."""
    return Batches(
        dataset.validation, dataset, batch_size=settings.batch_size, one_hot=one_hot(settings)
    )
