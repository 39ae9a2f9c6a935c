from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnext.training.compiled import compiled_network
from keras_resnext.training.weighting import ClassWeightedCrossentropy, balanced_weights
from tests.training.tiny import SETTINGS, shrink, tiny_demo

WEIGHTS = np.array([0.25, 1.0, 4.0], np.float32)
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=20, size=(8, 3)).astype(np.float32)  # sure, and often wrong
LABELS = np.array([0, 1, 2, 1, 0, 2, 2, 1])
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
MIXED = 0.7 * ONE_HOT + 0.3 * np.roll(ONE_HOT, 1, axis=0)


def ours(labels, smoothing):
    loss = ClassWeightedCrossentropy(WEIGHTS, smoothing)
    return float(keras.ops.convert_to_numpy(loss(labels, LOGITS)))


def pytorchs(labels, smoothing, reduction="mean"):
    torch = pytest.importorskip("torch")
    loss = torch.nn.CrossEntropyLoss(
        torch.from_numpy(WEIGHTS), label_smoothing=smoothing, reduction=reduction
    )
    return loss(torch.from_numpy(LOGITS), torch.from_numpy(labels)).item()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [ONE_HOT, MIXED])
def test_is_pytorchs_of_probabilities(labels, smoothing):
    assert ours(labels, smoothing) == pytest.approx(pytorchs(labels, smoothing), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_differs_from_pytorchs_of_numbers_by_the_divisor(smoothing):
    expected = pytorchs(LABELS, smoothing, "sum") / len(LABELS)
    assert ours(ONE_HOT, smoothing) == pytest.approx(expected, rel=1e-5)
    expected = pytorchs(LABELS, smoothing) * WEIGHTS[LABELS].mean()
    assert ours(ONE_HOT, smoothing) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def unbalanced(monkeypatch):
    """Of twelve classes, the first with five images, the others with ever fewer."""
    shrink(monkeypatch)
    dataset = tiny_demo("demo")
    rows = [
        row
        for label in range(12)
        for row in np.flatnonzero(dataset.train.labels == label)[: max(1, 5 - label)]
    ]
    return replace(dataset, train=dataset.train.take(np.array(rows)))


def test_mean_weight_of_the_training_images_is_one(unbalanced):
    weights = balanced_weights(unbalanced)
    labels = unbalanced.train.labels
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(5 / 4)
    total = [weights[labels][labels == label].sum() for label in range(12)]
    np.testing.assert_allclose(total, len(labels) / 12, rtol=1e-6)


def test_names_a_class_without_images(unbalanced):
    last = unbalanced.class_names[11]
    train = unbalanced.train.take(np.flatnonzero(unbalanced.train.labels < 11))
    with pytest.raises(ValueError, match=f"class_weights: .* got none of '{last}'"):
        balanced_weights(replace(unbalanced, train=train))


def test_only_the_loss_to_learn_by_is_weighted(unbalanced):
    settings = replace(SETTINGS, class_weights="balanced", label_smoothing=0.1)
    images = RNG.normal(size=(4, 32, 32, 3)).astype(np.float32)
    if keras.config.image_data_format() == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    labels = np.eye(12, dtype=np.float32)[[0, 0, 0, 11]]
    plain = compiled_network(replace(settings, class_weights="none"), unbalanced, 4)
    weighted = compiled_network(settings, unbalanced, 4)  # of the same seed
    validated = weighted.test_on_batch(images, labels, return_dict=True)
    expected = plain.test_on_batch(images, labels, return_dict=True)
    assert validated == pytest.approx(expected, rel=1e-5)

    logits = keras.ops.convert_to_numpy(plain(images, training=True)).astype(np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    smooth = 0.9 * labels + 0.1 / 12
    loss = -(balanced_weights(unbalanced) * smooth * np.log(chances)).sum(axis=1).mean()
    learned = weighted.train_on_batch(images, labels, return_dict=True)
    assert learned["loss"] == pytest.approx(loss, rel=1e-4)
    hits = logits.argmax(axis=1) == labels.argmax(axis=1)
    assert learned["accuracy"] == pytest.approx(hits.mean())
