import numpy as np
import pytest

from keras_resnext.export.formats.runner import BATCH, RUNTIMES, logits
from keras_resnext.export.formats.table import FORMATS


@pytest.mark.parametrize("sizes", [[1], [1, 1], [1, BATCH, 1]])
def test_every_image_once_at_two_batch_sizes(sizes):
    images = np.arange(sum(sizes), dtype=np.uint8)[:, None]
    seen = []

    def compute(batch):
        assert batch.dtype == np.float32
        seen.append(len(batch))
        return batch

    np.testing.assert_array_equal(logits(compute, images), images)
    assert seen == sizes


def test_has_the_runtime_of_every_format():
    assert {chosen.runtime for chosen in FORMATS.values()} == set(RUNTIMES)
