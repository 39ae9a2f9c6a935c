"""The most likely classes of image files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_resnext.data import decode_files, find_images
from keras_resnext.files import check_positive, table
from keras_resnext.inference.classifier import Classifier, Source, open_classifier
from keras_resnext.preprocessing import Preprocessing


class Guess(NamedTuple):
    """A class and its probability, 0 to 1."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of an image.

    Attributes:
        path: of the image; None for an array.
        guesses: the most likely first; of equal ones that of the lower label.
        image: as the network saw it, uint8 (height, width, 3); None where it was not kept.
        heat: one map per class as of `Maps`, float (classes, height, width); None by `predict`.
    """

    path: Path | None
    guesses: tuple[Guess, ...]
    image: np.ndarray | None
    heat: np.ndarray | None = None


@dataclass(frozen=True)
class Batch:
    """Some of the files: predictions of those that can be read, the reason for each other one."""

    predictions: list[Prediction]
    unreadable: dict[Path, str]


def predict(
    source: Source,
    images: np.ndarray | str | Path | Sequence[str | Path],
    top: int = 5,
    batch_size: int = 32,
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
) -> list[Prediction]:
    """Return the most likely classes of images.

    Args:
        source: as of `open_classifier`: a model, a checkpoint, or the folder of an export.
        images: files, folders or patterns; or pixels, uint8 (N, height, width, 3), of the size that
            the network takes.
        top: classes per image, at most.
        batch_size: images at a time.
        class_names: as of `open_classifier`.
        preprocessing: as of `open_classifier`.

    Raises:
        ValueError: as `open_classifier`, a number is below 1, or a file cannot be read.

    Example:
        >>> predict("resnext50_32x4d.a1_in1k", "photos/*.jpg")[0].guesses[0].name
    """
    check_positive(top=top)
    with open_classifier(source, class_names, preprocessing) as classifier:
        if isinstance(images, np.ndarray):
            found = _top(classifier, images, top, batch_size)
            return [Prediction(None, *each) for each in zip(found, images, strict=True)]
        names = [images] if isinstance(images, (str, Path)) else images
        batches = list(predict_files(classifier, find_images(names), top, batch_size))
    for batch in batches:
        for path, reason in batch.unreadable.items():
            raise ValueError(f"images: {path} cannot be read: {reason}")
    return [prediction for batch in batches for prediction in batch.predictions]


def predict_files(
    classifier: Classifier,
    paths: Sequence[Path],
    top: int = 5,
    batch_size: int = 32,
    keep_images: int = 40,
) -> Iterator[Batch]:
    """Yield the predictions of image files, a batch at a time; unreadable ones have their reason.

    The first `keep_images` come with the image, to be drawn.

    Raises:
        ValueError: `top` or `batch_size` is below 1.
        ArithmeticError: the network puts out numbers that are not finite.
    """
    check_positive(top=top, batch_size=batch_size)
    for readable, images, unreadable in read_batches(paths, classifier.preprocessing, batch_size):
        kept = [*images[:keep_images], *[None] * len(readable)]
        keep_images = max(keep_images - len(images), 0)
        found = _top(classifier, images, top, batch_size)
        yield Batch(list(map(Prediction, readable, found, kept)), unreadable)


def read_batches(
    paths: Sequence[Path], preprocessing: Preprocessing, batch_size: int
) -> Iterator[tuple[list[Path], np.ndarray, dict[Path, str]]]:
    """Yield which files can be read, their pixels, and the reason for each other one."""
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        images, unreadable = decode_files(part, preprocessing)
        yield [path for path in part if path not in unreadable], images, unreadable


def _top(
    classifier: Classifier, images: np.ndarray, top: int, batch_size: int
) -> list[tuple[Guess, ...]]:
    if not len(images):
        return []
    scores = classifier(images, batch_size)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(scores, order, 1)
    return [guesses(classifier.class_names, *each) for each in zip(order, best, strict=True)]


def guesses(names: Sequence[str], labels: np.ndarray, scores: np.ndarray) -> tuple[Guess, ...]:
    """Return classes by name, in the order of `labels`."""
    return tuple(
        Guess(int(label), names[label], float(score))
        for label, score in zip(labels, scores, strict=True)
    )


def predictions_as_text(predictions: Sequence[Prediction]) -> str:
    """Return a table for a terminal: one line per guess, the image before its first."""
    rows = [("image", "class", "probability")]
    for prediction in predictions:
        title = str(prediction.path or "")
        for guess in prediction.guesses:
            rows.append((title, guess.name, f"{guess.probability:11.2%}"))
            title = ""
    return table(rows)


def predictions_as_json(
    source: str | Path, predictions: Sequence[Prediction], unreadable: Mapping[Path, str]
) -> str:
    """Return everything as JSON, the files left out included; probabilities are 0 to 1.

    The image of a prediction from an array is null.
    """
    values = {
        "source": str(source),
        "predictions": [
            {
                "image": prediction.path and str(prediction.path),
                "top": [
                    dict(zip(("label", "class", "probability"), guess, strict=True))
                    for guess in prediction.guesses
                ],
            }
            for prediction in predictions
        ],
        "unreadable": [{"image": str(path), "reason": why} for path, why in unreadable.items()],
    }
    return json.dumps(values, indent=1) + "\n"
