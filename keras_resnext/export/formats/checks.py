"""What an export is held to: the network's logits, and in int8 its accuracy."""

from dataclasses import dataclass

import numpy as np

from keras_resnext.data import Dataset
from keras_resnext.evaluation.report import report
from keras_resnext.export.verification import ExportError, logits_bound

MAX_LOSS = 0.05
"""Of accuracy, by int8: sound calibration costs less than a hundredth."""


@dataclass(frozen=True)
class SameLogits:
    """An export in float32 computes what the network does.

    Attributes:
        images: it was compared on.
        difference: the largest absolute one of a logit.
        bound: on it.
    """

    images: int
    difference: float
    bound: float

    def __str__(self):
        return (
            f"Largest difference from the trained network on {self.images} test images: "
            f"logits {self.difference:.1e} (bound {self.bound:.1e})"
        )


@dataclass(frozen=True)
class SameAccuracy:
    """An export in int8 classifies about as well as the network.

    Attributes:
        images: of the test split, all of them.
        before: top-1 accuracy of the network, a fraction.
        after: that of the export.
    """

    images: int
    before: float
    after: float

    def __str__(self):
        return (
            f"Accuracy on {self.images} test images: {self.before:.2%} as trained, "
            f"{self.after:.2%} in int8 ({100 * (self.after - self.before):+.2f} points)"
        )


def same_logits(logits: np.ndarray, expected: np.ndarray) -> SameLogits:
    """Compare logits, float32 (N, classes), of an export and of the network.

    Raises:
        ExportError: one is further off than `verification.compare` lets it be, or not a number.
    """
    difference = float(np.abs(logits - expected).max())
    bound = logits_bound(expected)
    if not difference <= bound:  # written so that a NaN fails too
        raise ExportError(
            f"the export does not compute what the network does: its logits are {difference:.1e} "
            f"off (bound {bound:.1e}). Nothing was kept."
        )
    return SameLogits(len(logits), difference, bound)


def same_accuracy(logits: np.ndarray, expected: np.ndarray, dataset: Dataset) -> SameAccuracy:
    """Compare the accuracy of an export and of the network on the test split.

    Raises:
        ExportError: it falls by more than `MAX_LOSS`, or a logit is not a number.
    """
    before, after = (report(x, dataset.test, dataset, "test").top1 for x in (expected, logits))
    if not np.isfinite(logits).all() or before - after > MAX_LOSS:
        raise ExportError(
            f"int8 takes the accuracy from {before:.2%} to {after:.2%}, more than {MAX_LOSS:.0%} "
            "lost. Nothing was kept; export in float32."
        )
    return SameAccuracy(len(logits), before, after)
