"""From settings to a network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import keras

from keras_resnext.models import ResNeXt, ResNeXt29, ResNeXt50, ResNeXt101, ResNeXt152
from keras_resnext.training.settings import Settings, Stem


@dataclass(frozen=True)
class Architecture:
    """A network by name, and what it is where the settings leave it open."""

    build: Callable[..., keras.Model]
    cardinality: int = 32
    base_width: int = 4
    stem: Stem = "cifar"


ARCHITECTURES: dict[str, Architecture] = {
    # Fit for a CPU: a quarter of the size after the stem, one block a stage.
    "resnext11": Architecture(partial(ResNeXt, (1, 1, 1), name="resnext11"), stem="imagenet"),
    "resnext20": Architecture(partial(ResNeXt, (2, 2, 2), name="resnext20")),
    "resnext29": Architecture(ResNeXt29, cardinality=8, base_width=64),
    "resnext50": Architecture(ResNeXt50),
    "resnext101": Architecture(ResNeXt101),
    "resnext152": Architecture(ResNeXt152),
}


def resolved(settings: Settings) -> Settings:
    """Fill in what the settings leave to the model: cardinality, base width and stem."""
    own = ARCHITECTURES[settings.model]
    return replace(
        settings,
        cardinality=settings.cardinality or own.cardinality,
        base_width=settings.base_width or own.base_width,
        stem=settings.stem or own.stem,
    )


def build_network(
    settings: Settings,
    input_shape: tuple[int, int, int],
    classes: int,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build the network that the settings describe, with fresh weights.

    Args:
        settings: `model`, `cardinality`, `base_width`, `stem`, `reduce`.
        input_shape: (height, width, channels).
        classes: how many.
        classifier_activation: "softmax", or None for logits, to train on; weights fit either.

    Raises:
        ValueError: the parts do not fit together.
    """
    settings = resolved(settings)
    if keras.config.image_data_format() == "channels_first":
        input_shape = (input_shape[2], *input_shape[:2])
    return ARCHITECTURES[settings.model].build(
        cardinality=settings.cardinality,
        base_width=settings.base_width,
        stem=settings.stem,
        reduce=settings.reduce,
        input_shape=input_shape,
        classes=classes,
        classifier_activation=classifier_activation,
    )
