from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnext.training.losses import ClassWeightedCrossentropy, balanced_weights, one_hot
from tests.training.tiny import SETTINGS, tiny_demo

WEIGHTS = np.array([0.25, 1.0, 4.0], np.float32)
LOGITS = np.random.default_rng(0).normal(scale=20, size=(8, 3)).astype(np.float32)  # often wrong
ONE_HOT = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 0, 2, 2, 1]]
MIXED = 0.7 * ONE_HOT + 0.3 * np.roll(ONE_HOT, 1, axis=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [ONE_HOT, MIXED])
def test_weighted_cross_entropy_is_pytorchs(labels, smoothing):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.CrossEntropyLoss(torch.from_numpy(WEIGHTS), label_smoothing=smoothing)
    expected = theirs(torch.from_numpy(LOGITS), torch.from_numpy(labels)).item()
    ours = ClassWeightedCrossentropy(WEIGHTS, smoothing)(labels, LOGITS)
    assert float(keras.ops.convert_to_numpy(ours)) == pytest.approx(expected, rel=1e-5)


def test_classes_have_the_same_weight_in_all():
    dataset = tiny_demo()
    labels = dataset.train.labels
    rows = [r for c in range(12) for r in np.flatnonzero(labels == c)[: max(1, 5 - c)]]
    train = dataset.train.take(np.array(rows))
    weights = balanced_weights(replace(dataset, train=train))
    assert weights[train.labels].mean() == pytest.approx(1)
    total = [weights[train.labels][train.labels == label].sum() for label in range(12)]
    np.testing.assert_allclose(total, len(train) / 12, rtol=1e-6)

    train = dataset.train.take(np.flatnonzero(labels < 11))
    message = f"--class-weights: .* got none of '{dataset.class_names[11]}'"
    with pytest.raises(ValueError, match=message):
        balanced_weights(replace(dataset, train=train))


@pytest.mark.parametrize(
    ("change", "expected"), [({}, False), ({"label_smoothing": 0.1}, True), ({"cutmix": 1.0}, True)]
)
def test_labels_are_probabilities_where_they_must(change, expected):
    assert one_hot(SETTINGS.change(**change)) == expected
