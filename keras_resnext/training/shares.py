"""Batches of an evaluation, shared by several devices."""

import keras
import numpy as np

from keras_resnext.data import Batches
from keras_resnext.replicas import Replicas


class Shares(keras.utils.PyDataset):
    """This process's part of each batch, whatever the number of samples.

    Where the replicas cannot share a batch equally, it is filled up with samples of weight zero.
    Keras divides a batch's loss by its size and weights it by that again, those of weight zero
    included; so the others weigh as much more as there are more. Metrics must be weighted ones.

    Args:
        batches: whole ones, unshuffled.
        samples: how many they hold together.
        replicas: of the run; the batch size is a multiple of their count.
    """

    def __init__(self, batches: Batches, samples: int, replicas: Replicas):
        super().__init__()
        self._batches = batches
        self._replicas = replicas
        filled = samples + -samples % replicas.count
        self._weight = filled / samples

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        images, labels = self._batches[index]
        weights = np.full(len(images), self._weight, np.float32)
        missing = -len(images) % self._replicas.count
        images, labels = (_filled(array, missing) for array in (images, labels))
        weights = np.pad(weights, (0, missing))
        part, parts = self._replicas.shard
        size = len(images) // parts
        own = slice(part * size, (part + 1) * size)
        if self._weight == 1:
            return images[own], labels[own]
        return images[own], labels[own], weights[own]


def _filled(array, missing):
    """`missing` more samples, of those that are there."""
    return np.concatenate([array, np.resize(array, (missing, *array.shape[1:]))])
