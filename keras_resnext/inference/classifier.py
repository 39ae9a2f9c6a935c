"""A trained classifier between pixels and probabilities, whatever it is and wherever it runs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_resnext.checkpoint import Checkpoint, open_checkpoint
from keras_resnext.data.dataset import check_class_names
from keras_resnext.files import check_positive, few, users_path
from keras_resnext.inference.exported import find_exported, open_exported, probabilities
from keras_resnext.inference.network import check_functional, output_activation
from keras_resnext.models import from_preset
from keras_resnext.preprocessing import Preprocessing, normalize

Source: TypeAlias = keras.Model | Checkpoint | str | Path
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Classifier:
    """From pixels to probabilities.

    Attributes:
        class_names: by label.
        preprocessing: of image files; called, a classifier normalizes by its mean and std itself.
        compute: from pixels, uint8 or float (N, image_size, image_size, 3), RGB, 0 to 255, to what
            the network puts out, (N, classes).
        activation: that `compute` ends in; logits ("linear") get the softmax when called.
        prepare: from those pixels to what the model takes, float32; None for an exported file.
        model: the Keras model behind it, likewise.
        checkpoint: that it came from, None for a model of the user's own.
    """

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    compute: Callable[[np.ndarray], np.ndarray]
    activation: str
    prepare: Any = None
    model: Any = None
    checkpoint: Checkpoint | None = None

    def __call__(self, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Return probabilities, float32 (N, classes), of pixels (N, height, width, 3).

        Raises:
            ValueError: `batch_size` is below 1, or the images are of another size.
            ArithmeticError: the network puts out numbers that are not finite.
        """
        check_positive(batch_size=batch_size)
        size = self.preprocessing.image_size
        if np.shape(images)[1:] != (size, size, 3):
            raise ValueError(
                f"images: expected images of {size}x{size}x3, got the shape {np.shape(images)}; "
                "resize them by the checkpoint's preprocessing"
            )
        batches = range(0, len(images), batch_size)
        scores = [self.compute(np.asarray(images[i : i + batch_size])) for i in batches]
        outputs = np.concatenate([np.asarray(score, np.float32) for score in scores])
        check_finite(outputs)
        return probabilities(outputs) if self.activation == "linear" else outputs


@contextmanager
def open_classifier(
    source: Source,
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Iterator[Classifier]:
    """Open a trained network for prediction; an exported one runs in its own runtime till the end.

    Args:
        source: a Keras model built on ours; a checkpoint or what `open_checkpoint` takes; or the
            folder of an export, NAME/VERSION or NAME (its latest version).
        class_names: by label; default: the checkpoint's or export's own, else "class 0", ...
        preprocessing: default: the checkpoint's or export's own. For a model: none, that is, it
            takes pixels from 0 to 255 as they are.

    Raises:
        ValueError: nothing is there, or it is no classifier of one image, or names or sizes do not
            fit it.
        ImportError: what runs an export is not installed.
    """
    if not isinstance(source, (keras.Model, Checkpoint)) and (
        found := find_exported(users_path(source))
    ):
        with open_exported(found) as (own_names, own_preprocessing, compute):
            names = _names(
                own_names if class_names is None else class_names, len(own_names), source
            )
            yield Classifier(names, preprocessing or own_preprocessing, compute, "softmax")
    else:
        yield model_classifier(source, class_names, preprocessing)


def model_classifier(
    source: Source,
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    arrays: bool = False,
) -> Classifier:
    """Return the classifier of a Keras model or checkpoint, as `open_classifier`.

    With `arrays`, a model gets images of its own size, ready for it, if no preprocessing is given.
    """
    checkpoint = None
    if isinstance(source, keras.Model):
        model = source
        check_functional(model)
    else:
        checkpoint = open_checkpoint(source)
        preprocessing = preprocessing or checkpoint.preprocessing
        if preprocessing is None:
            raise ValueError(
                f"preprocessing: {checkpoint.source} does not say how its images were resized and "
                "normalized; give the run's folder instead of a file, or preprocessing="
            )
        model = _load(checkpoint, preprocessing)
        class_names = checkpoint.class_names if class_names is None else class_names
    shape = model.inputs[0].shape[1:]
    if len(shape) != 3:
        raise ValueError(f"model: expected one that takes images, got {model.name!r} of {shape}")
    first = shape[0] == 3 != shape[2]
    height, width, channels = (*shape[1:], shape[0]) if first else shape
    if preprocessing is None:
        if not arrays and None in (height, width):
            raise ValueError(
                f"preprocessing: {model.name} takes images of {height}x{width}, so give a "
                "Preprocessing with the image_size to use"
            )
        preprocessing = Preprocessing(height or 1, height or 1, "bicubic", **RAW)
        if not arrays:
            print(
                f"preprocessing: none given, so {model.name!r} gets RGB pixels from 0 to 255 as "
                "they are; if you normalized its images yourself, give preprocessing=",
                file=sys.stderr,
            )
    size = preprocessing.image_size
    unfit = not arrays and {height, width} - {size, None}
    if channels != 3 or unfit or len(model.outputs[0].shape) != 2:
        raise ValueError(
            f"model: expected a classifier of {size}x{size} RGB images (preprocessing), got "
            f"{model.name!r} from {tuple(shape)} to {tuple(model.outputs[0].shape[1:])}"
        )
    mean, std = preprocessing.mean, preprocessing.std

    def prepare(images: np.ndarray) -> np.ndarray:
        pixels = normalize(np.asarray(images), mean, std)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if first else pixels

    def compute(images: np.ndarray) -> np.ndarray:
        (outputs,) = keras.tree.flatten(model.predict_on_batch(prepare(images)))
        return keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))

    activation = output_activation(model)
    if not arrays and model.outputs[0].shape[-1] == 1 and activation in ("softmax", "linear"):
        raise ValueError(
            f"model: {model.name!r} has one output, whose softmax is always 1; expected a sigmoid "
            "at its end, or an output per class"
        )
    return Classifier(
        _names(class_names, model.outputs[0].shape[-1], model.name),
        preprocessing,
        compute,
        activation,
        prepare,
        model,
        checkpoint,
    )


def _load(checkpoint: Checkpoint, preprocessing: Preprocessing) -> keras.Model:
    """Build it in float32, channels last: weights are the same in both image data formats."""
    if checkpoint.classes is None:
        raise ValueError(
            f"checkpoint: {checkpoint.name} has no classifier; train one on it "
            f"(keras-resnext train --weights {checkpoint.source})"
        )
    shape = (preprocessing.image_size, preprocessing.image_size, 3)
    data_format, policy = keras.config.image_data_format(), keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    try:
        return from_preset(checkpoint, input_shape=shape, classifier_activation=None)
    finally:
        keras.config.set_image_data_format(data_format)
        keras.config.set_dtype_policy(policy)


def check_finite(outputs: np.ndarray) -> None:
    """Raise an ArithmeticError if a network puts out NaN or infinity."""
    if not np.isfinite(outputs).all():
        raise ArithmeticError("the network puts out numbers that are not finite; retrain it")


def _names(names, classes: int, source) -> tuple[str, ...]:
    if names is None:
        names = [f"class {label}" for label in range(classes)]
    if len(names) != classes or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"class_names: expected {classes}, one per output of {source}, each a str, got "
            f"{len(names)}: {few(map(repr, names))}"
        )
    check_class_names(names)
    return tuple(names)
