import hashlib

import keras
import numpy as np
import pytest

from keras_resnext.data import load_dataset
from keras_resnext.data.demo import load_demo
from tests.data.conftest import parts

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="made by NumPy: the backend plays no part"
)


@pytest.fixture(scope="module")
def demo():
    return load_dataset("demo")


def test_the_bytes_are_fixed(demo):
    total = hashlib.sha256()
    for part in parts(demo):
        for array in (part.images, part.labels.astype("<i4"), part.superclass_labels.astype("<i4")):
            total.update(array.tobytes())
    assert total.hexdigest() == "2f13585e5e5ff37e7d9119e965cca542ed85764a9d8c0d3034b2a6e923c82c8b"


def test_parts_and_classes(demo):
    assert [len(part) for part in parts(demo)] == [3600, 600, 1200]
    assert demo.num_classes == 12
    groups = [demo.superclass_names[i] for i in demo.test.superclass_labels[:12]]
    assert groups == 6 * ["texture"] + 6 * ["shape"]
    pixels = demo.train.images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(demo.preprocessing.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(demo.preprocessing.std, pixels.std(axis=0), rtol=1e-9)
    small = load_demo(train_per_class=2, validation_per_class=1, test_per_class=3)
    assert [len(part) for part in parts(small)] == [24, 12, 36]
