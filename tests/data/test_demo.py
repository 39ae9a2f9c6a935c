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


def test_it_is_stratified_and_disjoint(demo):
    assert [len(part) for part in parts(demo)] == [3600, 600, 1200]
    images = [{image.tobytes() for image in part.images} for part in parts(demo)]
    assert len(set().union(*images)) == 5400
    for part in parts(demo):
        assert len(set(np.bincount(part.labels).tolist())) == 1
        groups = [demo.superclass_names[i] for i in part.superclass_labels[:12]]
        assert groups == 6 * ["texture"] + 6 * ["shape"]
    pixels = demo.train.images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(demo.preprocessing.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(demo.preprocessing.std, pixels.std(axis=0), rtol=1e-9)
    small = load_demo(train_per_class=2, validation_per_class=1, test_per_class=3)
    assert [len(part) for part in parts(small)] == [24, 12, 36]


def accuracies_of_a_linear_model(demo, features, steps):
    """Train softmax regression by gradient descent with momentum; accuracy in training and test."""
    train = features(demo.train.images)
    mean, std = train.mean(axis=0), train.std(axis=0)

    def prepare(x):
        return np.concatenate([(x - mean) / std, np.ones((len(x), 1), np.float32)], axis=1)

    x, target = prepare(train), np.eye(12, dtype=np.float32)[demo.train.labels]
    rate = 0.05 / np.square(x).sum(axis=1).mean()
    weights = np.zeros((x.shape[1], 12), np.float32)
    velocity = np.zeros_like(weights)
    for _ in range(steps):
        logits = x @ weights
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        velocity = 0.9 * velocity - rate * (x.T @ (probabilities - target))
        weights += velocity
    return [
        np.mean((inputs @ weights).argmax(axis=1) == labels)
        for inputs, labels in (
            (x, demo.train.labels),
            (prepare(features(demo.test.images)), demo.test.labels),
        )
    ]


def test_neither_pixels_nor_colors_give_the_class_away(demo):
    def flat(images):
        return images.reshape(len(images), -1).astype(np.float32)

    def colors(images):
        channels = images.reshape(len(images), -1, 3).astype(np.float32)
        return np.concatenate([channels.mean(axis=1), channels.min(1), channels.max(1)], axis=1)

    learned, accuracy = accuracies_of_a_linear_model(demo, flat, steps=60)
    assert learned > 0.5, "the linear model must have been given a chance"
    assert accuracy < 0.6
    assert accuracies_of_a_linear_model(demo, colors, steps=500)[1] < 0.2
