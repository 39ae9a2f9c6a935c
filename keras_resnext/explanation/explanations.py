"""Image files explained, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_resnext.data import Dataset, normalise
from keras_resnext.data.decoding import decode
from keras_resnext.explanation.grad_cam import GradCAM
from keras_resnext.prediction.predictions import Guess, Prediction


@dataclass(frozen=True)
class Explanation:
    """An image, classes, and what in it speaks for each.

    Attributes:
        prediction: the classes.
        image: as the network saw it, uint8 (height, width, 3).
        heat: one map a class, as of `grad_cam.Maps`: float (classes, height, width).
    """

    prediction: Prediction
    image: np.ndarray
    heat: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Some of the files.

    Attributes:
        explanations: of those that can be read.
        unreadable: the reason for each of the others.
    """

    explanations: list[Explanation]
    unreadable: dict[Path, str]


def explain(
    grad_cam: GradCAM,
    dataset: Dataset,
    paths: Sequence[Path],
    labels: Sequence[int],
    top: int,
    batch_size: int,
) -> Iterator[Batch]:
    """Decode files as prediction does, and explain classes of each.

    Args:
        grad_cam: of the network.
        dataset: that it was trained on; only its names and preprocessing count.
        paths: image files.
        labels: of the classes; none: the likeliest of each image.
        top: how many of the likeliest, at most.
        batch_size: files at a time.

    Raises:
        ArithmeticError: the network puts out something else than finite numbers.
    """
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        images, unreadable = decode(part, dataset.preprocessing)
        readable = [path for path in part if path not in unreadable]
        yield Batch(
            _explain(grad_cam, dataset, readable, images, labels, top) if readable else [],
            unreadable,
        )


def _explain(grad_cam, dataset, paths, images, labels, top):
    normalised = normalise(images, dataset.preprocessing.mean, dataset.preprocessing.std)
    chosen = np.tile(labels, (len(paths), 1)) if labels else None
    maps = grad_cam(normalised, chosen, top)
    return [
        Explanation(
            Prediction(
                path,
                tuple(
                    Guess(int(label), dataset.class_names[label], float(probability))
                    for label, probability in zip(row, probabilities, strict=True)
                ),
            ),
            image,
            heat,
        )
        for path, image, row, probabilities, heat in zip(
            paths, images, maps.labels, maps.probabilities, maps.heat, strict=True
        )
    ]
