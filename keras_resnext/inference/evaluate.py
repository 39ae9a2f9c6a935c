"""Accuracy, precision, recall and F1 of a classifier on a split: overall and by class."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_resnext.data import Dataset
from keras_resnext.files import require, table
from keras_resnext.inference.classifier import Source, open_classifier
from keras_resnext.preprocessing import Preprocessing

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Report:
    """How well a classifier does on a split. Accuracies are fractions, 0 to 1.

    Attributes:
        split: its name.
        images: how many.
        top1: accuracy.
        top5: share of the images whose class is among the five most likely.
        precision: scikit-learn's macro average, as recall and f1: the mean over the classes that
            occur, true or predicted, 0/0 being 0.
        recall: likewise.
        f1: likewise.
        superclass_accuracy: share of the images predicted within the right superclass; None where
            there are no superclasses.
        classes: one row each: its name, superclass, images, precision, recall (its accuracy), f1,
            the class it is most often mistaken for, and how often. None stands for 0/0.
        confusion: int64 (classes, classes), images by true class (row) and predicted (column).
    """

    split: str
    images: int
    top1: float
    top5: float
    precision: float
    recall: float
    f1: float
    superclass_accuracy: float | None
    classes: list[dict[str, Any]]
    confusion: np.ndarray


def evaluate(
    source: Source,
    dataset: Dataset | tuple[np.ndarray, np.ndarray],
    split: str = "test",
    batch_size: int = 128,
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Report:
    """Measure a classifier on labeled images.

    Args:
        source: as of `open_classifier`: a model, a checkpoint, or the folder of an export.
        dataset: a `Dataset`, or (images, labels): uint8 (N, height, width, 3) and int (N,), or
            (N, 1) as of `keras.datasets`.
        split: of a `Dataset`: "train", "validation" or "test".
        batch_size: images at a time.
        class_names: as of `open_classifier`; default: the data set's.
        preprocessing: as of `open_classifier`.

    Raises:
        ValueError: the split is unknown or empty, the labels are no class numbers, or the classes
            or image size differ.
        ImportError: scikit-learn is not installed.
    """
    require("sklearn", "evaluation needs scikit-learn")  # before the work
    classes = superclasses = None
    if isinstance(dataset, Dataset):
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
        part = getattr(dataset, split)
        images, labels, classes = part.images, part.labels, dataset.num_classes
        if dataset.superclass_names != dataset.class_names:
            label_of = dict(zip(dataset.train.labels, dataset.train.superclass_labels, strict=True))
            superclasses = tuple(dataset.superclass_names[label_of[i]] for i in range(classes))
    else:
        images, labels, split = dataset[0], dataset[1], "images"
    labels = class_numbers(labels, len(images))
    if not len(labels):
        raise ValueError(f"split: {split} has no images; choose another")
    with open_classifier(source, class_names, preprocessing) as classifier:
        known = len(classifier.class_names)
        if known == 1:
            raise ValueError(
                "model: expected an output per class to measure, got one for all; end it in "
                'Dense(2, activation="softmax")'
            )
        if classes not in (None, known) or labels.min() < 0 or labels.max() >= known:
            raise ValueError(
                f"dataset: expected the {known} classes of {getattr(source, 'name', source)}, got "
                f"{classes or labels.max() + 1}; evaluate on the data set it was trained on"
            )
        own = classifier.class_names
        if isinstance(dataset, Dataset) and class_names is None:
            for label, name in enumerate(dataset.class_names):
                if name in own and own[label] != name:
                    raise ValueError(
                        f"dataset: its class {label}, {name!r}, is number {own.index(name)} of "
                        f"{getattr(source, 'name', source)}; expected the same order"
                    )
        scores = classifier(images, batch_size)
        names = classifier.class_names
    if isinstance(dataset, Dataset):
        labels, names = part.labels_of(), dataset.class_names
    return report(scores, labels, names, superclasses, split)


def class_numbers(labels: Any, count: int) -> np.ndarray:
    """Return the labels of `count` images as int (N,).

    Raises:
        ValueError: they are something else, one-hot for instance.
    """
    labels = np.asarray(labels)
    flat = labels.ravel()
    if len(flat) != count or (count and flat.dtype.kind not in "iu"):
        raise ValueError(
            f"dataset: expected a class number per image, int ({count},), got labels of "
            f"{labels.dtype} {labels.shape}; of one-hot labels take argmax(axis=1)"
        )
    return flat


def report(
    scores: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    superclasses: tuple[str, ...] | None = None,
    split: str = "test",
) -> Report:
    """Compare scores with labels.

    Args:
        scores: (N, classes), a higher one for a more likely class; of equal ones the lower counts.
        labels: int (N,).
        class_names: by label.
        superclasses: the name of each class's superclass; None: there are none.
        split: its name.
    """
    from sklearn import metrics

    every = np.arange(len(class_names))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    predicted = order[:, 0]
    confusion = metrics.confusion_matrix(labels, predicted, labels=every)
    scored = metrics.precision_recall_fscore_support
    shares = scored(labels, predicted, labels=every, zero_division=np.nan)[:3]
    precision, recall, f1, _ = scored(labels, predicted, average="macro", zero_division=0)
    mistakes = confusion - np.diag(confusion.diagonal())
    groups = np.array(superclasses or class_names)
    classes = [
        {
            "class": name,
            "superclass": str(groups[label]),
            "images": int(confusion[label].sum()),
            **{
                key: None if np.isnan(share[label]) else float(share[label])
                for key, share in zip(("precision", "recall", "f1"), shares, strict=True)
            },
            "mistaken_for": class_names[mistakes[label].argmax()] if mistakes[label].any() else "",
            "mistakes": int(mistakes[label].max()),
        }
        for label, name in enumerate(class_names)
    ]
    right_group = float((groups[predicted] == groups[labels]).mean())
    return Report(
        split=split,
        images=len(labels),
        top1=float((predicted == labels).mean()),
        top5=float((order == labels[:, None]).any(axis=1).mean()),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        superclass_accuracy=right_group if superclasses else None,
        classes=classes,
        confusion=confusion,
    )


def report_as_text(report: Report) -> str:
    """Return tables for a terminal: overall and each class."""
    names = ("top1", "top5", "precision", "recall", "f1", "superclass_accuracy")
    values = {name.replace("_", " "): getattr(report, name) for name in names}
    overall = [(name, _percent(value)) for name, value in values.items() if value is not None]
    rows = [("class", "images", "  recall", "precision", "      f1", "most often mistaken for")]
    for row in report.classes:
        shares = (_percent(row[name]) for name in ("recall", "precision", "f1"))
        mistaken = f"{row['mistaken_for']} ({row['mistakes']})" if row["mistakes"] else "-"
        rows.append((row["class"], f"{row['images']:6}", *shares, mistaken))
    return f"{report.images} images ({report.split})\n{table(overall)}\n\n{table(rows)}"


def report_as_json(report: Report) -> str:
    """Return everything, the confusion matrix included; null where a fraction is undefined."""
    return json.dumps(vars(report) | {"confusion": report.confusion.tolist()}, indent=1) + "\n"


def _percent(value):
    return "      no" if value is None else f"{value:8.2%}"
