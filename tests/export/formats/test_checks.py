import numpy as np
import pytest

from keras_resnext.export.formats.checks import same_accuracy, same_logits
from keras_resnext.export.verification import ExportError


@pytest.fixture
def expected(dataset):
    """Logits that class the twelve test images right, but the first two."""
    labels = dataset.test.labels.copy()
    labels[:2] = labels[1::-1]
    return 5 * np.eye(dataset.num_classes, dtype=np.float32)[labels]


def test_logits_up_to_rounding(expected):
    check = same_logits(expected + np.float32(2e-4), expected)
    assert check.images == 12
    assert check.difference == pytest.approx(2e-4, rel=0.01)
    assert check.bound == pytest.approx(5e-4)
    assert "12 test images: logits 2.0e-04 (bound 5.0e-04)" in str(check)


@pytest.mark.parametrize("value", [6e-4, np.nan])
def test_one_wrong_logit_is_found(expected, value):
    logits = expected.copy()
    logits[3, 2] += value
    with pytest.raises(ExportError, match=r"off \(bound 5\.0e-04\)\. Nothing was kept"):
        same_logits(logits, expected)


def test_accuracy_before_and_after(expected, dataset):
    logits = expected.copy()
    logits[:2] = logits[1::-1]
    check = same_accuracy(logits, expected, dataset)
    assert (check.images, check.before, check.after) == (12, pytest.approx(10 / 12), 1)
    assert "12 test images: 83.33% as trained, 100.00% in int8 (+16.67 points)" in str(check)


@pytest.mark.parametrize("value", [100, np.nan])
def test_lost_accuracy_is_found(expected, dataset, value):
    logits = expected.copy()
    logits[3, 5] = value
    with pytest.raises(ExportError, match=r"int8 takes the accuracy from 83\.33% to"):
        same_accuracy(logits, expected, dataset)
