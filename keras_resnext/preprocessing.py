"""Image preprocessing for a network, and the names of the ImageNet classes it predicts."""

import math
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

import keras
import numpy as np
from keras.applications import imagenet_utils

RGB = tuple[float, float, float]
Interpolation = Literal["bilinear", "bicubic"]

# ImageNet's, in pixel units, as torchvision normalizes for the pretrained weights.
MEAN: RGB = (123.675, 116.28, 103.53)
STD: RGB = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """The steps from an image of any size to the input of a network.

    The shorter side is resized to `resize_size`, with antialiasing, a square of `image_size` is
    cropped at the center, and each channel has `mean` subtracted and is divided by `std`:
    torchvision's `Resize`, `CenterCrop` and `Normalize`.

    Attributes:
        image_size: height and width of the network's input, in pixels.
        resize_size: size of the shorter side before the crop, in pixels; `image_size` or more.
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
            numbers = np.shape(value) == (3,) and all(isinstance(each, Real) for each in value)
            if not numbers or not all(map(math.isfinite, value)):
                raise ValueError(f"{name}: expected three numbers, got {value!r}")
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers above 0, got {self.std!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Build it from what `dataclasses.asdict` gives, also after a round trip through JSON.

        Raises:
            ValueError: a value is out of range.
            TypeError: a value has another type, or there are unknown keys.
        """
        colors = {name: tuple(map(float, values[name])) for name in ("mean", "std")}
        return cls(**values | colors)


def whole_image(image_size: int, mean: RGB = MEAN, std: RGB = STD) -> Preprocessing:
    """Preprocessing that resizes the shorter side to the network's input, bicubic, without a crop.

    Args:
        image_size: height and width of the network's input, in pixels.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
    """
    return Preprocessing(image_size, image_size, "bicubic", mean, std)


def normalize(images: np.ndarray, mean: RGB, std: RGB, out: np.ndarray | None = None) -> np.ndarray:
    """Compute `(images - mean) / std` per channel.

    Args:
        images: uint8 (..., W, 3).
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
        out: where to write the result, contiguous; None: a new array.

    Returns:
        float32, same shape as `images`.
    """
    # Whole rows at a time: NumPy's inner loop over 3 channels would take five times as long.
    *outer, width, channels = images.shape
    scale = np.divide(1, std, dtype=np.float32)
    rows = images.reshape(*outer, width * channels)
    result = np.empty(rows.shape, np.float32) if out is None else out.reshape(rows.shape)
    np.multiply(rows, np.tile(scale, width), out=result, dtype=np.float32)
    result -= np.tile(np.multiply(mean, scale, dtype=np.float32), width)
    return result.reshape(images.shape)


def preprocess_input(x, data_format: str | None = None):
    """Normalize pixels as the pretrained weights expect, as in `keras.applications`, mode "torch".

    Unlike Keras' own function it also takes integer tensors, on every backend, never writes over
    its input, and works inside `tf.data.Dataset.map` under JAX and PyTorch.

    Args:
        x: images, (batch, height, width, 3) or (height, width, 3), or channels first: an array or
            a tensor, eager or symbolic; RGB, 0 to 255.
        data_format: `"channels_last"`, `"channels_first"`, or None for Keras' configured one.

    Returns:
        Same kind and shape as `x`; in its dtype if that is a float, else in Keras' default float.

    Raises:
        ValueError: the data format is unknown.
    """
    if _is_tensorflow_tensor(x) and keras.backend.backend() != "tensorflow":
        return _preprocess_by_tensorflow(x, data_format or keras.config.image_data_format())
    if isinstance(x, np.ndarray):
        x = x.copy()
    elif keras.backend.is_float_dtype(x.dtype):
        x = keras.ops.copy(x)
    else:
        x = keras.ops.cast(x, keras.config.floatx())
    return imagenet_utils.preprocess_input(x, data_format, mode="torch")


def _is_tensorflow_tensor(x):
    tensorflow = sys.modules.get("tensorflow")  # else no tensor of it can exist
    return tensorflow is not None and tensorflow.is_tensor(x)


def _preprocess_by_tensorflow(x, data_format):
    """Normalize a tensor of `tf.data`, on which another backend's operations do not work."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"data_format: expected 'channels_last' or 'channels_first', got {data_format!r}"
        )
    import tensorflow as tf

    x = tf.cast(x, x.dtype if x.dtype.is_floating else keras.config.floatx())
    shape = (3, 1, 1) if data_format == "channels_first" else (3,)
    mean, std = (tf.reshape(tf.constant(value, x.dtype), shape) for value in (MEAN, STD))
    return (x - mean) / std


class ImageNetClass(NamedTuple):
    """A class of ImageNet-1k.

    Attributes:
        wordnet_id: of its noun in WordNet 3.0, such as `"n01440764"`, the name of its folder in
            ImageNet.
        name: first word for it, such as `"tench"`; two words stand for two classes each.
    """

    wordnet_id: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """List the 1000 classes of ImageNet-1k (Russakovsky et al., 2015), by label.

    Ids and names are those of Keras' `imagenet_class_index.json`.
    """
    text = files("keras_resnext").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(ImageNetClass(*line.split()) for line in text.splitlines())


def imagenet_class_names() -> tuple[str, ...]:
    """List the names by label, each once: where two classes share a name, the id follows."""
    shared = Counter(name for _, name in imagenet_classes())
    return tuple(
        name if shared[name] == 1 else f"{name}_{wordnet_id}"
        for wordnet_id, name in imagenet_classes()
    )


def decode_predictions(preds, top: int = 5) -> list[list[tuple[str, str, np.floating]]]:
    """Name the most likely ImageNet classes, as in `keras.applications`.

    Keras downloads the names; these come with the package.

    Args:
        preds: array or tensor (samples, 1000).
        top: classes per sample.

    Returns:
        For each sample a list of (WordNet id, name, score), the most likely first.

    Raises:
        ValueError: `preds` has another shape.
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
