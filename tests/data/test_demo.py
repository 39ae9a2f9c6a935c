import hashlib

import numpy as np

from keras_resnext.data import load_dataset
from tests.data.conftest import ONCE, parts

pytestmark = ONCE


def test_the_bytes_are_fixed_and_the_statistics_are_theirs():
    demo = load_dataset("demo")
    total = hashlib.sha256()
    for part in parts(demo):
        for array in (part.images, part.labels.astype("<i4"), part.superclass_labels.astype("<i4")):
            total.update(array.tobytes())
    assert total.hexdigest() == "2f13585e5e5ff37e7d9119e965cca542ed85764a9d8c0d3034b2a6e923c82c8b"
    assert [len(part) for part in parts(demo)] == [3600, 600, 1200]
    assert demo.superclass_names == ("texture", "shape")
    pixels = demo.train.images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(demo.preprocessing.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(demo.preprocessing.std, pixels.std(axis=0), rtol=1e-9)
