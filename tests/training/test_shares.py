import numpy as np
import pytest

from keras_resnext.data import Batches
from keras_resnext.replicas import Replicas
from keras_resnext.training.shares import Shares
from tests.training.tiny import tiny_demo

DATASET = tiny_demo("demo")


def shares(samples, processes):
    """Each process's batches, and the whole ones."""
    split = DATASET.validation.take(np.arange(samples))
    batches = Batches(split, DATASET, batch_size=4, workers=0)
    parts = [Shares(batches, samples, Replicas(4, i, processes)) for i in range(processes)]
    return [[part[i] for i in range(len(part))] for part in parts], list(batches)


@pytest.mark.parametrize("processes", [1, 2])
def test_equal_shares_are_the_batches(processes):
    parts, whole = shares(8, processes)
    for index, (images, labels) in enumerate(whole):
        own = [part[index] for part in parts]
        np.testing.assert_array_equal(np.concatenate([images for images, _ in own]), images)
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in own]), labels)


@pytest.mark.parametrize("processes", [1, 2])
def test_unequal_shares_are_filled_up_and_leave_every_mean_as_it_is(processes):
    parts, whole = shares(9, processes)
    sizes = {len(batch[0]) for part in parts for batch in part}
    assert all(size * processes % 4 == 0 for size in sizes)

    def value(images, labels):
        return images.mean((1, 2, 3)) + labels

    expected = np.concatenate([value(*batch) for batch in whole]).mean()
    own = [batch for part in parts for batch in part]
    weighted = sum((value(images, labels) * weights).sum() for images, labels, weights in own)
    # As Keras: a loss is divided by the samples, a weighted metric by the weights.
    np.testing.assert_allclose(weighted / sum(len(weights) for *_, weights in own), expected)
    np.testing.assert_allclose(weighted / sum(weights.sum() for *_, weights in own), expected)
