"""Whether an export computes what the trained network computes."""

from collections.abc import Mapping

import numpy as np

from keras_resnext.data import Dataset
from keras_resnext.preprocessing import Preprocessing

IMAGES = 64
TOLERANCE = 1e-4  # of probabilities


class ExportError(RuntimeError):
    """An export does not compute what the network does."""


def sample_images(dataset: Dataset) -> np.ndarray:
    """Some test images, spread over the whole split: uint8 (up to 64, height, width, 3)."""
    images = dataset.test.images
    return images[np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)]


def framed(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Put a black frame around images, so that preprocessing leaves them alone and cuts it off.

    Args:
        images: uint8 (batch, image_size, image_size, 3).
        preprocessing: by which they are to come out as they were.

    Returns:
        uint8 (batch, resize_size, resize_size, 3).
    """
    margin = preprocessing.resize_size - preprocessing.image_size
    before = round(margin / 2)  # as the crop rounds
    sides = (before, margin - before)
    return np.pad(images, ((0, 0), sides, sides, (0, 0)))


def logits_bound(logits: np.ndarray) -> float:
    """Bound on the difference of logits, which go up to 40 and have no more digits for that."""
    return TOLERANCE * max(1.0, float(np.abs(logits).max()))


def compare(
    logits: np.ndarray, answers: Mapping[str, np.ndarray], class_names: tuple[str, ...]
) -> dict[str, float]:
    """Compare what an export answered with what the network put out.

    Args:
        logits: float32 (batch, classes), the network's own.
        answers: of each signature by `SIGNATURE/OUTPUT`, for the same images.
        class_names: by label.

    Returns:
        The largest absolute difference of each kind of output.

    Raises:
        ExportError: one of them exceeds its bound.
    """
    probabilities = _softmax(logits)
    labels = {name.encode(): label for label, name in enumerate(class_names)}
    named = np.vectorize(labels.__getitem__)(answers["serve_bytes/classes"])
    expected = np.sort(probabilities)[:, ::-1][:, : named.shape[1]]
    pairs = {
        "logits": [
            (answers["serving_default/logits"], logits),
            (answers["serve_uint8/logits"], logits),
        ],
        "probabilities": [
            (answers["serving_default/probabilities"], probabilities),
            (answers["serve_uint8/probabilities"], probabilities),
        ],
        "scores": [
            (answers["serve_bytes/scores"], expected),
            (np.take_along_axis(probabilities, named, axis=1), expected),
        ],
    }
    largest = {
        kind: float(np.max([np.abs(got - wanted) for got, wanted in found]))
        for kind, found in pairs.items()
    }
    bounds = dict.fromkeys(largest, TOLERANCE)
    bounds["logits"] = logits_bound(logits)
    # Written so that a NaN fails too.
    if wrong := [kind for kind, value in largest.items() if not value <= bounds[kind]]:
        differences = ", ".join(
            f"{kind} by {largest[kind]:.1e} (bound {bounds[kind]:.1e})" for kind in wrong
        )
        raise ExportError(
            f"the export does not compute what the network does; off are its {differences}. "
            "Nothing was kept."
        )
    return largest


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
