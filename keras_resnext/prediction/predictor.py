"""A trained network, ready to say what images show."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_resnext.data import Dataset, normalise
from keras_resnext.export.network import inference_network
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.training.trained import Trained


@dataclass(frozen=True)
class Predictor:
    """A network between decoded images and probabilities.

    Attributes:
        class_names: by label.
        preprocessing: of the images that it takes; normalising them is its own work.
        probabilities: from images, uint8 (batch, image_size, image_size, 3), RGB, to float
            (batch, classes).
    """

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    probabilities: Callable[[np.ndarray], np.ndarray]


def from_trained(trained: Trained, dataset: Dataset) -> Predictor:
    """Load what this package trained.

    Args:
        trained: what `find_trained` found.
        dataset: that it was trained on; only its names and preprocessing count.

    Raises:
        ValueError: it cannot be read, or is not a classifier of this data set's images.
    """
    preprocessing = dataset.preprocessing
    network = inference_network(trained, dataset)

    def probabilities(images: np.ndarray) -> np.ndarray:
        normalised = normalise(images, preprocessing.mean, preprocessing.std)
        scores = keras.ops.softmax(network.predict_on_batch(normalised))
        return keras.ops.convert_to_numpy(scores)

    return Predictor(dataset.class_names, preprocessing, probabilities)
