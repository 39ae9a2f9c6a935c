"""What every data set of this package looks like once it is in memory."""

from dataclasses import dataclass

import numpy as np

from keras_resnext.preprocessing import Preprocessing


class DatasetError(ValueError):
    """A data set cannot be read. The message says what was found, expected, and what to do."""


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (N, H, W, 3), RGB.
        labels: int32 (N,), indices into `Dataset.class_names`.
        superclass_labels: int32 (N,), indices into `Dataset.superclass_names`.
    """

    images: np.ndarray
    labels: np.ndarray
    superclass_labels: np.ndarray

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[-1] != 3:
            raise ValueError(
                "images: expected uint8 of shape (N, H, W, 3), "
                f"got {self.images.dtype} of shape {self.images.shape}"
            )
        for name in ("labels", "superclass_labels"):
            array = getattr(self, name)
            if array.dtype != np.int32 or array.shape != (len(self),):
                raise ValueError(
                    f"{name}: expected int32 of shape ({len(self)},), one per image, "
                    f"got {array.dtype} of shape {array.shape}"
                )

    def __len__(self):
        return len(self.images)

    def take(self, indices: np.ndarray) -> "Split":
        """Copy the samples at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices], self.superclass_labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A data set with its split made.

    Attributes:
        name: what `load` was asked for.
        train: the samples to learn from.
        validation: held out of the training samples, to choose by.
        test: the samples to report on.
        class_names: names of the classes, by label.
        superclass_names: names of the groups of classes, by superclass label.
        preprocessing: what images of any size go through to become such as these, and these to
            become the network's input.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image, whatever the backend's data format."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels
