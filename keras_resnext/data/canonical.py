"""Order, identity and split of a data set from its content alone, whatever source it came from."""

import hashlib
from collections import Counter
from collections.abc import Iterable

import numpy as np

from keras_resnext.data.dataset import Split

IMAGE_DIGEST_BYTES = hashlib.sha256().digest_size


def sort_by_content(split: Split) -> tuple[Split, list[bytes]]:
    """Put samples in the order of their keys: the image's SHA-256, then the label bytes.

    Args:
        split: at most 256 classes and superclasses.

    Returns:
        The split in canonical order, and its keys. Samples with equal keys are equal.
    """
    keys = [
        hashlib.sha256(image).digest() + bytes(labels)
        for image, *labels in zip(
            np.ascontiguousarray(split.images),
            split.labels,
            split.superclass_labels,
            strict=True,
        )
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return split.take(np.array(order, np.int64)), [keys[i] for i in order]


def digest(keys: Iterable[bytes]) -> str:
    """SHA-256, in hexadecimal, over sorted keys: the identity of a set of samples."""
    total = hashlib.sha256()
    for key in keys:
        total.update(key)
    return total.hexdigest()


def stratified_holdout(
    split: Split, keys: list[bytes], per_class: int, seed: int
) -> tuple[Split, Split]:
    """Hold `per_class` samples of each class out.

    A sample is chosen by a hash of its content and the seed: no random generator, whose stream
    another NumPy could change, and no dependence on order. Images that occur more than once are
    never chosen, so that no image is on both sides.

    Args:
        split: the samples.
        keys: theirs, as `sort_by_content` gives them.
        per_class: how many samples of each class to hold out.
        seed: another seed is another choice; 0 to 2**64 - 1.

    Returns:
        The rest and the held-out samples, each in the order of `split`.

    Raises:
        ValueError: a class has too few samples.
    """
    copies = Counter(key[:IMAGE_DIGEST_BYTES] for key in keys)
    salt = seed.to_bytes(8, "big")
    ranks = [hashlib.sha256(salt + key).digest() for key in keys]
    held_out = np.zeros(len(split), bool)
    for label in np.unique(split.labels):
        candidates = [
            int(i)
            for i in np.flatnonzero(split.labels == label)
            if copies[keys[i][:IMAGE_DIGEST_BYTES]] == 1
        ]
        if len(candidates) < per_class:
            raise ValueError(
                f"per_class: expected at most {len(candidates)}, the distinct samples of class "
                f"{label}, got {per_class}"
            )
        held_out[sorted(candidates, key=ranks.__getitem__)[:per_class]] = True
    return split.take(np.flatnonzero(~held_out)), split.take(np.flatnonzero(held_out))
