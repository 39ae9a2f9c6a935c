"""How images are made ready for a network, and what its outputs mean."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
from keras.applications import imagenet_utils

from keras_resnext.imagenet_classes import imagenet_classes

RGB = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]

# ImageNet's, in pixel units, as torchvision normalises for the published weights.
MEAN: RGB = (123.675, 116.28, 103.53)
STD: RGB = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """From an image of any size to what the network takes.

    The shorter side is scaled to `resize_size`, with antialiasing, a square of `image_size` is cut
    out of the centre, and each channel has `mean` subtracted and is divided by `std`: torchvision's
    `Resize`, `CenterCrop` and `Normalize`.

    Attributes:
        image_size: height and width of the network's input, in pixels.
        resize_size: of the shorter side before the crop, in pixels; `image_size` or more.
        interpolation: `"bilinear"` or `"bicubic"`.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.

    Raises:
        ValueError: a field is out of range.
    """

    image_size: int = 224
    resize_size: int = 256
    interpolation: Interpolation = "bilinear"
    mean: RGB = MEAN
    std: RGB = STD

    def __post_init__(self):
        for name, least in (("image_size", 1), ("resize_size", self.image_size)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name}: expected a whole number of pixels >= {least}, got {value!r}"
                )
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation: expected one of {get_args(Interpolation)}, "
                f"got {self.interpolation!r}"
            )
        for name in ("mean", "std"):
            value = getattr(self, name)
            if len(value) != 3 or not all(map(math.isfinite, value)):
                raise ValueError(f"{name}: expected three numbers, got {value!r}")
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """From what `dataclasses.asdict` gives, also after a way through JSON.

        Raises:
            ValueError: a value is out of range.
            TypeError: one is of another type, or there are others.
        """
        colours = {name: tuple(map(float, values[name])) for name in ("mean", "std")}
        return cls(**values | colours)


def fitted(image_size: int, mean: RGB = MEAN, std: RGB = STD) -> Preprocessing:
    """Scale the shorter side to the network's input, bicubic: all of it is seen.

    Args:
        image_size: height and width of the network's input, in pixels.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
    """
    return Preprocessing(image_size, image_size, "bicubic", mean, std)


def preprocess_input(x, data_format: str | None = None):
    """Normalise pixels as the published weights expect, as in `keras.applications`, mode "torch".

    Unlike Keras' own it takes tensors of integers too, on every backend, and never writes over its
    input.

    Args:
        x: images, (batch, height, width, 3) or (height, width, 3), or channels first: an array or
            a tensor, eager or symbolic; RGB, 0 to 255.
        data_format: `"channels_last"`, `"channels_first"`, or None for Keras' configured one.

    Returns:
        Of the kind and shape of `x`; in its type if that is a float, else in Keras' default float.

    Raises:
        ValueError: the data format is unknown.
    """
    if isinstance(x, np.ndarray):
        x = x.copy()
    elif keras.backend.is_float_dtype(x.dtype):
        x = keras.ops.copy(x)
    else:
        x = keras.ops.cast(x, keras.config.floatx())
    return imagenet_utils.preprocess_input(x, data_format, mode="torch")


def decode_predictions(preds, top: int = 5) -> list[list[tuple[str, str, np.floating]]]:
    """Name the likeliest ImageNet classes, as in `keras.applications`.

    Keras downloads the names; these come with the package.

    Args:
        preds: array or tensor (samples, 1000).
        top: classes a sample.

    Returns:
        For each sample a list of (WordNet id, name, score), the likeliest first.

    Raises:
        ValueError: `preds` is of another shape.
    """
    if len(preds.shape) != 2 or preds.shape[1] != 1000:
        raise ValueError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape "
            f"(samples, 1000)). Received array with shape: {preds.shape}"
        )
    classes = imagenet_classes()
    return [
        [(*classes[label], scores[label]) for label in np.argsort(scores)[-top:][::-1]]
        for scores in keras.ops.convert_to_numpy(preds)
    ]
