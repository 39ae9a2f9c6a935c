"""A trained network, ready to say what images show."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_resnext.data import Dataset, normalise
from keras_resnext.export.network import inference_network
from keras_resnext.training.trained import Trained


@dataclass(frozen=True)
class Predictor:
    """A network between decoded images and probabilities.

    Attributes:
        class_names: by label.
        image_size: height and width of the images that it takes, in pixels.
        probabilities: from images, uint8 (batch, image_size, image_size, 3), RGB, to float
            (batch, classes).
    """

    class_names: tuple[str, ...]
    image_size: int
    probabilities: Callable[[np.ndarray], np.ndarray]


def from_trained(trained: Trained, dataset: Dataset) -> Predictor:
    """Load what this package trained.

    Args:
        trained: what `find_trained` found.
        dataset: that it was trained on; only its names and numbers count.

    Raises:
        ValueError: it cannot be read, is not a classifier of this data set's images, or takes
            images that are not square.
    """
    network = inference_network(trained, dataset)

    def probabilities(images: np.ndarray) -> np.ndarray:
        normalised = normalise(images, dataset.mean, dataset.std)
        scores = keras.ops.softmax(network.predict_on_batch(normalised))
        return keras.ops.convert_to_numpy(scores)

    height, width, _ = dataset.input_shape
    return Predictor(dataset.class_names, square_side(height, width), probabilities)


def square_side(height: int, width: int) -> int:
    """The side of an image, in pixels.

    Raises:
        ValueError: it is not square; `data.decoding` makes squares only.
    """
    if height != width:
        raise ValueError(f"source: expected a network of square images, got {height}x{width}")
    return height
