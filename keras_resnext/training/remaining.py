"""The rest of an epoch that was interrupted."""

import keras

from keras_resnext.data import Batches


class Remaining(keras.utils.PyDataset):
    """The batches of one epoch from some step on, the same that a whole epoch gives there.

    Args:
        batches: of the whole epoch.
        epoch: which.
        first_step: the first batch to give.
    """

    def __init__(self, batches: Batches, epoch: int, first_step: int):
        super().__init__()
        self._batches = batches
        self._epoch = epoch
        self._first_step = first_step

    def __len__(self):
        return len(self._batches) - self._first_step

    def __getitem__(self, index):
        return self._batches.batch(self._epoch, self._first_step + index)
