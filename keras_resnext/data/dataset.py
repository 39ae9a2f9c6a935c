"""What every data set of this package looks like, and how its parts are chosen."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.data.decoding import ImageFiles
from keras_resnext.files import atomic_write, escape, require
from keras_resnext.preprocessing import Preprocessing

LONGEST_NAME = 200
SPLIT_SEED = 0


class DatasetError(ValueError):
    """A data set cannot be read."""


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (N, H, W, 3), RGB: an array, or `ImageFiles`, decoded when indexed.
        labels: int32 (N,), indices into `Dataset.class_names`.
        superclass_labels: int32 (N,), indices into `Dataset.superclass_names`.
    """

    images: Any
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
        """Copy the samples at `indices`, in that order; files are not decoded."""
        images = self.images.take(indices, axis=0)
        return Split(images, self.labels[indices], self.superclass_labels[indices])

    def labels_of(self, rows: Any = slice(None)) -> np.ndarray:
        """Return the labels of images that were read: a damaged file's are its neighbor's."""
        used = self.images.rows[rows] if isinstance(self.images, ImageFiles) else rows
        return self.labels[used]


@dataclass(frozen=True)
class Dataset:
    """A data set in three parts.

    Attributes:
        name: what `load_dataset` was asked for.
        train: the samples to train on.
        validation: the samples to choose by.
        test: the samples to report on.
        class_names: names of the classes, by label.
        superclass_names: names of the groups of classes, by superclass label.
        preprocessing: what turned images of any size into these, and turns these into the
            network's input.

    Raises:
        DatasetError: a class name cannot be shown or written, or is there twice.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...]
    preprocessing: Preprocessing

    def __post_init__(self):
        check_class_names(self.class_names)
        if repeated := [name for name, count in Counter(self.class_names).items() if count > 1]:
            raise DatasetError(f"class_names: expected each once, got {repeated[0]!r} again")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image, whatever the backend's data format."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels


def check_class_names(names: Sequence[str], argument: str = "class_names") -> None:
    """Raise a DatasetError for names, given by `argument`, that would break files and tables."""
    for name in names:
        categories = {unicodedata.category(character) for character in name}
        # Control characters, separators of lines and paragraphs, and what is not UTF-8.
        if categories & {"Cc", "Zl", "Zp", "Cs"} or not 0 < len(name.strip()) <= LONGEST_NAME:
            raise DatasetError(
                f"{argument}: the class name '{escape(name[:LONGEST_NAME])}' must be one line of 1 "
                f"to {LONGEST_NAME} characters in UTF-8; rename it"
            )


def sort_by_content(split: Split) -> tuple[Split, list[bytes]]:
    """Put samples in the order of their keys, and return these, too.

    A key is the image's SHA-256 and the bytes of the labels (at most 256 classes): order and split
    depend on the content alone.
    """
    samples = zip(split.images, split.labels, split.superclass_labels, strict=True)
    keys = [hashlib.sha256(image.tobytes()).digest() + bytes(labels) for image, *labels in samples]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return split.take(np.array(order, np.int64)), [keys[i] for i in order]


def ranked(keys: Sequence[bytes], labels: np.ndarray) -> dict[int, list[int]]:
    """List the rows of each label in the order in which they are held out.

    That is the order of a hash of content and seed: another NumPy, other names, or another order
    of the keys change nothing. Images that occur more than once (by the first 32 bytes of their
    keys) are left out, so that none is on both sides of a split.
    """
    copies = Counter(key[:32] for key in keys)
    salt = SPLIT_SEED.to_bytes(8, "big")
    rows: dict[int, list[int]] = {label: [] for label in np.unique(labels).tolist()}
    for row in sorted(range(len(keys)), key=lambda row: hashlib.sha256(salt + keys[row]).digest()):
        if copies[keys[row][:32]] == 1:
            rows[int(labels[row])].append(row)
    return rows


def safe_name(class_name: str) -> str:
    """Return a file name for a class, without suffix, whatever characters it has.

    Where it differs from the name, a hash follows, so that "a b" and "a_b" get different files.
    """
    plain = re.sub(r"[^\w-]+", "_", class_name)[:40]
    if plain == class_name:
        return plain
    return f"{plain}-{hashlib.sha256(class_name.encode()).hexdigest()[:8]}"


def write_examples(folder: Path, dataset: Dataset, most: int = 12) -> None:
    """Write `examples/CLASS.png`, the first test image of each of the first `most` classes."""
    pillow = require("PIL.Image", "writing images needs pillow")
    for label, name in enumerate(dataset.class_names[:most]):
        for row in np.flatnonzero(dataset.test.labels == label)[:1]:
            image = dataset.test.images[row]
            if dataset.test.labels_of(row) == label:  # else a damaged file's neighbor
                with atomic_write(folder / "examples" / f"{safe_name(name)}.png") as temporary:
                    pillow.fromarray(image).save(temporary)
