import numpy as np
import pytest
from PIL import Image

from keras_resnext import backend
from keras_resnext.data import Dataset, Split
from keras_resnext.preprocessing import whole_image
from tests.peers import load_peers

ONCE = pytest.mark.skipif(backend.NAME != "tensorflow", reason="the backend plays no part")


@pytest.fixture(scope="session")
def torchvision():
    return load_peers()[1]


def random_split(count, classes=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % classes
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Split(images, labels, labels // 2)


@pytest.fixture
def dataset():
    train, validation, test = (random_split(n, seed=n) for n in (50, 12, 8))
    preprocessing = whole_image(8, (120, 125, 130), (60, 65, 70))
    return Dataset("random", train, validation, test, tuple("abcd"), tuple("xy"), preprocessing)


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def plain(number, size=8):
    """An image of one color, which says its number at any size."""
    return Image.new("RGB", (size, size), (number // 256, number % 256, 7))


def numbers(split):
    return [int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]) for image in split.images]


def write_classes(folder, counts, first=0):
    """Write so many numbered images of each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            plain(number).save(folder / name / f"{number}.png")
        first += count
    return first
