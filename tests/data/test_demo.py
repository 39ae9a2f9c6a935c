import hashlib

import numpy as np
import pytest

from keras_resnext.data import load
from keras_resnext.data.demo import load_demo


@pytest.fixture(scope="module")
def demo():
    return load("demo")


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def test_the_bytes_are_fixed(demo):
    total = hashlib.sha256()
    for part in parts(demo):
        for array in (part.images, part.labels.astype("<i4"), part.superclass_labels.astype("<i4")):
            total.update(array.tobytes())
    assert total.hexdigest() == "2f13585e5e5ff37e7d9119e965cca542ed85764a9d8c0d3034b2a6e923c82c8b"


def test_it_is_small_stratified_and_disjoint(demo):
    assert len(demo.train) <= 4000
    images = [{image.tobytes() for image in part.images} for part in parts(demo)]
    for part, distinct in zip(parts(demo), images, strict=True):
        counts = np.bincount(part.labels)
        assert len(counts) == demo.num_classes >= 10
        assert len(set(counts.tolist())) == 1
        assert len(distinct) == len(part)
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_superclasses_group_classes(demo):
    assert demo.superclass_names == ("texture", "shape")
    pairs = set(zip(demo.test.labels.tolist(), demo.test.superclass_labels.tolist(), strict=True))
    groups = {demo.class_names[label]: demo.superclass_names[group] for label, group in pairs}
    assert len(pairs) == demo.num_classes
    assert groups["checkerboard"] == "texture"
    assert groups["ring"] == "shape"


def test_mean_and_std_are_those_of_the_training_images(demo):
    pixels = demo.train.images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(demo.preprocessing.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(demo.preprocessing.std, pixels.std(axis=0), rtol=1e-9)


def softmax_regression(features, labels, classes, steps, rate=0.5):
    """Fit by gradient descent with momentum; return a function from features to labels."""
    mean, std = features.mean(axis=0), features.std(axis=0)

    def prepare(x):
        return np.concatenate([(x - mean) / std, np.ones((len(x), 1), np.float32)], axis=1)

    x, target = prepare(features), np.eye(classes, dtype=np.float32)[labels]
    rate /= np.square(x).sum(axis=1).mean()
    weights = np.zeros((x.shape[1], classes), np.float32)
    velocity = np.zeros_like(weights)
    for _ in range(steps):
        logits = x @ weights
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        velocity = 0.9 * velocity - rate * (x.T @ (probabilities - target))
        weights += velocity / 10
    train_accuracy = np.mean((x @ weights).argmax(axis=1) == labels)
    return train_accuracy, lambda x: (prepare(x) @ weights).argmax(axis=1)


def accuracy_of_a_linear_model(demo, features, steps):
    train, test = features(demo.train.images), features(demo.test.images)
    learnt, predict = softmax_regression(train, demo.train.labels, demo.num_classes, steps)
    return learnt, np.mean(predict(test) == demo.test.labels)


def test_a_linear_model_on_pixels_fails(demo):
    def flat(images):
        return images.reshape(len(images), -1).astype(np.float32)

    learnt, accuracy = accuracy_of_a_linear_model(demo, flat, steps=60)
    assert learnt > 0.5, "the linear model must have been given a chance"
    assert accuracy < 0.6


def test_colours_do_not_give_the_class_away(demo):
    def colours(images):
        channels = images.reshape(len(images), -1, 3).astype(np.float32)
        return np.concatenate([channels.mean(axis=1), channels.min(1), channels.max(1)], axis=1)

    _, accuracy = accuracy_of_a_linear_model(demo, colours, steps=500)
    assert accuracy < 0.2


def test_sizes_can_be_chosen(demo):
    small = load_demo(train_per_class=2, validation_per_class=1, test_per_class=3)
    assert [len(part) for part in parts(small)] == [24, 12, 36]
