import numpy as np
import pytest

from keras_resnext.data import Split
from tests.data.conftest import random_split


def test_a_dataset_knows_its_shape(dataset):
    assert dataset.num_classes == 4
    assert dataset.input_shape == (8, 8, 3)
    assert len(dataset.train) == 50


def test_take_keeps_images_and_labels_together():
    split = random_split(6)
    taken = split.take(np.array([4, 1]))
    np.testing.assert_array_equal(taken.images, split.images[[4, 1]])
    assert taken.labels.tolist() == [0, 1]
    assert taken.superclass_labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("images", lambda x: x.astype(np.float32)),
        ("images", lambda x: x.transpose(0, 3, 1, 2)),
        ("labels", lambda x: x.astype(np.int64)),
        ("labels", lambda x: x[:-1]),
        ("superclass_labels", lambda x: x[:, None]),
    ],
)
def test_a_malformed_array_is_named(field, change):
    split = random_split(6)
    arrays = {"images": split.images, "labels": split.labels}
    arrays["superclass_labels"] = split.superclass_labels
    arrays[field] = change(arrays[field])
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        Split(**arrays)
