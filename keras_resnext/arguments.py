"""Checks of the arguments of `models.ResNeXt`, and what stands in for those left out.

Every ValueError says which values work.
"""

from pathlib import Path

import keras
from keras import layers

from keras_resnext.architecture import Architecture
from keras_resnext.blocks import FORMS, STEM_CHANNELS, STEMS, channel_axis
from keras_resnext.presets import Preset
from keras_resnext.weights.layers import LayerWeights

REDUCES = ("dense", "grouped")
SHORTCUTS = ("projection", "average_pool")
POOLINGS = {
    "avg": layers.GlobalAveragePooling2D,
    "max": layers.GlobalMaxPooling2D,
}
CIFAR_SIZE = 32
IMAGENET_SIZE = 224
LARGEST_CIFAR_SIZE = 64  # pixels, of images that are small without a stem that shrinks them


def check_architecture(architecture: Architecture, block: str) -> None:
    """Make sure that a network can be built so."""
    stage_blocks, cardinality = architecture.stage_blocks, architecture.cardinality
    if not stage_blocks or not all(_is_positive(count) for count in stage_blocks):
        raise ValueError(
            f"stage_blocks={stage_blocks!r} must hold the number of blocks of each stage, one or "
            "more, such as (3, 4, 6, 3)."
        )
    for argument in ("cardinality", "base_width"):
        if not _is_positive(value := getattr(architecture, argument)):
            raise ValueError(f"{argument}={value!r} must be a positive integer.")
    for argument, value, known in (
        ("stem", architecture.stem, STEMS),
        ("block", block, FORMS),
        ("reduce", architecture.reduce, REDUCES),
        ("shortcut", architecture.shortcut, SHORTCUTS),
    ):
        if value not in known:
            raise ValueError(f"{argument}={value!r} is unknown; use one of {_quoted(known)}.")
    if architecture.reduce == "grouped" and STEM_CHANNELS % cardinality:
        divisors = [c for c in range(1, STEM_CHANNELS + 1) if STEM_CHANNELS % c == 0]
        raise ValueError(
            f"cardinality={cardinality} does not divide the {STEM_CHANNELS} channels of the stem, "
            f'which reduce="grouped" splits into that many groups; use one of '
            f'{", ".join(map(str, divisors))}, or reduce="dense".'
        )


def check_top(include_top, pooling, classes):
    """Make sure that pooling is known, and classes are a number."""
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"pooling={pooling!r} is unknown; use None or one of {_quoted(POOLINGS)}.")
    if classes is not None and not _is_positive(classes):
        raise ValueError(f"classes={classes!r} must be a positive integer.")


def check_preset(source: Preset | Path | None, include_top, classes) -> None:
    """Make sure that a classifier of published weights keeps its classes."""
    if isinstance(source, Preset) and include_top and classes not in (None, source.classes):
        raise ValueError(
            f"classes={classes}: the classifier of weights={source.name!r} has {source.classes}; "
            "leave classes out, or build with include_top=False and add a classifier of your own."
        )


def stem_of(source: Preset | Path | None, loaded: LayerWeights | None) -> str | None:
    """The stem of the weights, if they tell."""
    if isinstance(source, Preset):
        return source.architecture.stem
    found = loaded.architecture() if loaded else None
    return found.stem if found else None


def size_of(source: Preset | Path | None, stem: str | None) -> int:
    """Height and width of the images where the user names none, in pixels."""
    if isinstance(source, Preset):
        return source.preprocessing.image_size
    return CIFAR_SIZE if stem in (None, "cifar") else IMAGENET_SIZE


def stem_for(image) -> str:
    """The stem that fits the size of the images, where nothing else names one."""
    height, width = _height_and_width(image.shape[1:])
    return "imagenet" if max(height or 0, width or 0) > LARGEST_CIFAR_SIZE else "cifar"


def classes_of(source: Preset | Path | None, loaded: LayerWeights | None, stem: str) -> int:
    """Number of classes where the user names none."""
    if isinstance(source, Preset):
        return source.classes
    return (loaded and loaded.classes) or (100 if stem == "cifar" else 1000)


def image_input(input_tensor, input_shape, size):
    """The tensor to build on: the given one, or a new input."""
    if input_shape is not None and (
        len(input_shape) != 3 or not all(n is None or _is_positive(n) for n in input_shape)
    ):
        raise ValueError(
            f"input_shape={input_shape!r} must be the shape of one image, such as (32, 32, 3), in "
            f"the data format {keras.config.image_data_format()!r}; height and width may be None."
        )
    if input_tensor is None:
        return keras.Input(input_shape or in_data_format((size, size, 3)))
    if not keras.backend.is_keras_tensor(input_tensor):
        input_tensor = keras.Input(tensor=input_tensor)
    shape = tuple(input_tensor.shape[1:])
    if len(shape) != 3 or (input_shape is not None and shape != tuple(input_shape)):
        raise ValueError(
            f"input_tensor has the shape {tuple(input_tensor.shape)}, which does not fit "
            f"{'a batch of images' if input_shape is None else f'input_shape={input_shape!r}'}."
        )
    return input_tensor


def in_data_format(shape: tuple) -> tuple:
    """(height, width, channels) in the order of the current image data format."""
    first = keras.config.image_data_format() == "channels_first"
    return (shape[2], *shape[:2]) if first else shape


def check_image(image, stages: int, stem: str, source: Preset | Path | None) -> None:
    """Make sure that the images can go through all stages."""
    if image.shape[channel_axis()] is None:
        raise ValueError(
            f"The input has the shape {tuple(image.shape)}: the number of channels must be known, "
            f"in the data format {keras.config.image_data_format()!r}."
        )
    if isinstance(source, Preset) and image.shape[channel_axis()] != 3:
        raise ValueError(
            f"The input has the shape {tuple(image.shape)}: weights={source.name!r} are for images "
            "of three channels, RGB."
        )
    smallest = (1 if stem == "cifar" else 4) * 2 ** (stages - 1)
    height, width = _height_and_width(image.shape[1:])
    if any(size is not None and size < smallest for size in (height, width)):
        raise ValueError(
            f"The input is {height}x{width} pixels; stem={stem!r} and {stages} stages divide the "
            f"size by {smallest}, so height and width must be at least {smallest}."
        )


def _height_and_width(shape):
    return shape[1:] if channel_axis() == 1 else shape[:2]


def _is_positive(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _quoted(names):
    return ", ".join(repr(name) for name in names)
