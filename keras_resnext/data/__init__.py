"""Data sets, augmentation and the loader that feeds them to Keras."""

from keras_resnext.data.augmentation import Augmentation, normalise
from keras_resnext.data.batches import Batches
from keras_resnext.data.catalogue import DATASETS, load
from keras_resnext.data.dataset import Dataset, DatasetError, Split

__all__ = [
    "DATASETS",
    "Augmentation",
    "Batches",
    "Dataset",
    "DatasetError",
    "Split",
    "load",
    "normalise",
]
