"""Accuracy of a model on a split: overall, by class and by superclass."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_resnext.data import Batches, Dataset, Split

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Report:
    """What a model makes of a split. Accuracies are fractions, 0 to 1.

    Attributes:
        split: its name.
        top1: accuracy.
        top5: share of samples whose class is among the five most likely (of all, if fewer).
        superclass: share of samples whose predicted class lies in the right superclass.
        confusion: int64 (classes, classes), samples by true class (row) and predicted (column).
        class_names: by class.
        superclass_names: by superclass.
        superclass_of: int (classes,), the superclass of each class.
    """

    split: str
    top1: float
    top5: float
    superclass: float
    confusion: np.ndarray
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...]
    superclass_of: np.ndarray

    @property
    def samples(self) -> int:
        """How many samples the split has."""
        return int(self.confusion.sum())

    @property
    def class_samples(self) -> np.ndarray:
        """Samples of each class, int64 (classes,)."""
        return self.confusion.sum(axis=1)

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy within each class, float64 (classes,); NaN where it has no sample."""
        return _ratio(np.diag(self.confusion), self.class_samples)

    @property
    def superclass_samples(self) -> np.ndarray:
        """Samples of each superclass, int64 (superclasses,)."""
        return self._by_superclass(self.class_samples)

    @property
    def superclass_accuracy(self) -> np.ndarray:
        """Mean accuracy of the classes within each superclass, by samples: (superclasses,)."""
        return _ratio(self._by_superclass(np.diag(self.confusion)), self.superclass_samples)

    def _by_superclass(self, counts):
        totals = np.zeros(len(self.superclass_names), counts.dtype)
        np.add.at(totals, self.superclass_of, counts)
        return totals


def evaluate(
    model: keras.Model, dataset: Dataset, split: str = "test", batch_size: int = 128
) -> Report:
    """Let a model predict a split, and count.

    Args:
        model: takes the data set's normalised images, puts out a score (probability or logit) a
            class.
        dataset: the data set.
        split: one of "train", "validation", "test".
        batch_size: images at a time.

    Raises:
        ValueError: the split is unknown, or the model has other classes or another input.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    _check_fit(model, dataset)
    samples: Split = getattr(dataset, split)
    scores = model.predict(Batches(samples, dataset, batch_size=batch_size), verbose=0)
    return report(scores, samples, dataset, split)


def report(scores: np.ndarray, samples: Split, dataset: Dataset, split: str) -> Report:
    """Count right and wrong predictions.

    Args:
        scores: (N, classes), a higher one for a likelier class.
        samples: the N samples.
        dataset: they are from.
        split: its name.
    """
    classes = dataset.num_classes
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (samples.labels, predicted), 1)
    # Classes ahead of the right one; of equal scores the lower class counts as likelier.
    own = scores[np.arange(len(scores)), samples.labels][:, None]
    earlier = np.arange(classes) < samples.labels[:, None]
    ahead = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    superclass_of = np.zeros(classes, np.int64)
    superclass_of[dataset.train.labels] = dataset.train.superclass_labels
    if dataset.superclass_names == dataset.class_names:
        superclass_of = np.arange(classes)  # known without any training image
    return Report(
        split=split,
        top1=float((predicted == samples.labels).mean()),
        top5=float((ahead < 5).mean()),
        superclass=float((superclass_of[predicted] == samples.superclass_labels).mean()),
        confusion=confusion,
        class_names=dataset.class_names,
        superclass_names=dataset.superclass_names,
        superclass_of=superclass_of,
    )


def _check_fit(model, dataset):
    classes = model.output_shape[-1]
    if classes != dataset.num_classes:
        raise ValueError(
            f"model: expected {dataset.num_classes} classes, those of {dataset.name}, "
            f"got a model with {classes}; choose the data set it was trained on"
        )


def _ratio(part, whole):
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
