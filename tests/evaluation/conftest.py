import numpy as np
import pytest

from keras_resnext.data import Dataset, Split
from keras_resnext.preprocessing import fitted


def split(labels, superclass_of):
    labels = np.array(labels, np.int32)
    images = np.zeros((len(labels), 8, 8, 3), np.uint8)
    return Split(images, labels, np.array(superclass_of, np.int32)[labels])


@pytest.fixture
def animals():
    """Seven classes in two superclasses, the second class without a test image."""
    superclass_of = [0, 1, 0, 1, 1, 1, 1]
    return Dataset(
        name="animals",
        train=split(range(7), superclass_of),
        validation=split(range(7), superclass_of),
        test=split([0, 0, 2, 3, 4, 5, 6, 6], superclass_of),
        class_names=tuple("abcdefg"),
        superclass_names=("lower", "upper"),
        preprocessing=fitted(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )


@pytest.fixture
def scores():
    """Ranks: 1st, 2nd (of the own superclass), 1st, 6th, 1st, 5th, 7th by a tie, 1st."""
    rows = [
        [9, 0, 0, 0, 0, 0, 0],
        [8, 0, 9, 0, 0, 0, 0],
        [0, 0, 9, 0, 0, 0, 0],
        [9, 8, 7, 4, 6, 5, 0],
        [0, 0, 0, 0, 9, 0, 0],
        [0, 9, 8, 7, 6, 5, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 9],
    ]
    return np.array(rows, np.float32)
