"""The likeliest classes of image files, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_resnext.data.decoding import decode
from keras_resnext.prediction.predictor import Predictor


class Guess(NamedTuple):
    """A class and its probability, 0 to 1."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What an image shows.

    Attributes:
        path: of the image.
        guesses: the likeliest first; of equal ones that of the lower label.
    """

    path: Path
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class Batch:
    """Some of the files.

    Attributes:
        predictions: of those that can be read.
        images: the same, as the network saw them, uint8 (N, height, width, 3).
        unreadable: the reason for each of the others.
    """

    predictions: list[Prediction]
    images: np.ndarray
    unreadable: dict[Path, str]


def predict(
    predictor: Predictor, paths: Sequence[Path], top: int, batch_size: int
) -> Iterator[Batch]:
    """Decode files as a folder of images is for training, and ask the network.

    Args:
        predictor: the network.
        paths: image files.
        top: classes an image, at most; fewer where there are no more.
        batch_size: files at a time.

    Raises:
        ArithmeticError: the network puts out something else than finite numbers.
    """
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        images, unreadable = decode(part, predictor.preprocessing)
        readable = [path for path in part if path not in unreadable]
        predictions = _predict(predictor, readable, images, top) if readable else []
        yield Batch(predictions, images, unreadable)


def _predict(predictor, paths, images, top):
    probabilities = predictor.probabilities(images)
    if not np.isfinite(probabilities).all():
        raise ArithmeticError("the network puts out numbers that are not finite; train it anew")
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Prediction(
            path,
            tuple(Guess(int(k), predictor.class_names[k], float(row[k])) for k in labels),
        )
        for path, row, labels in zip(paths, probabilities, order, strict=True)
    ]
