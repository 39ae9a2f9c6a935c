"""Accuracy, precision, recall and F1 of a classifier on a split: overall and by class."""

import csv
import io
import json
from dataclasses import asdict, dataclass

import numpy as np

from keras_resnext.data import Dataset, Split
from keras_resnext.inference.classifier import Source, open_classifier
from keras_resnext.inference.predict import table
from keras_resnext.preprocessing import Preprocessing

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ClassRow:
    """One class or superclass in a report; fractions are None where they divide by zero.

    Attributes:
        name: of the class.
        superclass: that it belongs to; its own name where there are none.
        images: of this class.
        precision: the share of this class among the images predicted as it.
        recall: the share of its images predicted as it: its accuracy.
        f1: the harmonic mean of the two.
        mistaken_for: the class that its images are most often mistaken for, "" for none.
        mistakes: how many of them.
    """

    name: str
    superclass: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None
    mistaken_for: str
    mistakes: int


@dataclass(frozen=True)
class Report:
    """What a classifier makes of a split. Accuracies are fractions, 0 to 1.

    Attributes:
        split: its name.
        images: how many.
        top1: accuracy.
        top5: the share of images whose class is among the five most likely.
        superclass_accuracy: the share of images predicted within the right superclass; None where
            there are no superclasses.
        precision: the mean over the classes (macro average), as recall and f1.
        recall: likewise.
        f1: likewise.
        classes: by label.
        superclasses: mean recall of their classes, by images: (name, images, accuracy).
        confusion: int64 (classes, classes), images by true class (row) and predicted (column).
    """

    split: str
    images: int
    top1: float
    top5: float
    superclass_accuracy: float | None
    precision: float
    recall: float
    f1: float
    classes: tuple[ClassRow, ...]
    superclasses: tuple[tuple[str, int, float | None], ...]
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
        dataset: a `Dataset`, or (images, labels): pixels, uint8 (N, height, width, 3), and int (N,).
        split: of a `Dataset`: "train", "validation" or "test".
        batch_size: images at a time.
        class_names: as of `open_classifier`; default: the data set's.
        preprocessing: as of `open_classifier`.

    Raises:
        ValueError: the split is unknown or empty, or the classes or image size differ.
    """
    if isinstance(dataset, Dataset):
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
        samples: Split = getattr(dataset, split)
        images, labels = samples.images, np.asarray(samples.labels)
        classes = dataset.num_classes
    else:
        images, labels = dataset[0], np.asarray(dataset[1])
        classes = None
    if not len(labels):
        raise ValueError(f"split: {split} has no images; choose another")
    with open_classifier(source, class_names, preprocessing) as classifier:
        known = len(classifier.class_names)
        if classes not in (None, known) or labels.min() < 0 or labels.max() >= known:
            raise ValueError(
                f"dataset: expected the {known} classes of {_name(source)}, got "
                f"{classes or labels.max() + 1}; evaluate on the data set it was trained on"
            )
        size = classifier.preprocessing.image_size
        if images.shape[1:] != (size, size, 3):
            raise ValueError(
                f"dataset: expected images of {size}x{size}x3, got {tuple(images.shape[1:])}; load "
                "it with the checkpoint's preprocessing"
            )
        scores = classifier(images, batch_size)
        names = classifier.class_names
    if not isinstance(dataset, Dataset):
        return report(scores, labels, names, split="images")
    superclass_of = np.arange(known)
    if dataset.superclass_names != dataset.class_names:
        for part in (dataset.train, dataset.validation, dataset.test):
            superclass_of[part.labels] = part.superclass_labels
    return report(
        scores, labels, dataset.class_names, dataset.superclass_names, superclass_of, split
    )


def report(
    scores: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    superclass_names: tuple[str, ...] | None = None,
    superclass_of: np.ndarray | None = None,
    split: str = "test",
) -> Report:
    """Compare scores with labels.

    Args:
        scores: (N, classes), a higher one for a more likely class; of equal ones the lower counts.
        labels: int (N,).
        class_names: by label.
        superclass_names: None: there are none.
        superclass_of: int (classes,), the superclass of each class.
        split: its name.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(
            'evaluation needs scikit-learn. Type: pip install "keras-resnext[train]"'
        ) from error
    every = np.arange(len(class_names))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    predicted = order[:, 0]
    confusion = metrics.confusion_matrix(labels, predicted, labels=every)
    each = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=np.nan
    )
    mean = [float(np.nanmean(values)) for values in each[:3]]
    superclasses = superclass_names if superclass_names != class_names else None
    if superclasses is None or superclass_of is None:
        superclasses, superclass_of = class_names, every
    mistakes = confusion * (1 - np.eye(len(every), dtype=int))
    classes = tuple(
        ClassRow(
            name=name,
            superclass=superclasses[superclass_of[label]],
            images=int(support),
            precision=_or_none(precision),
            recall=_or_none(recall),
            f1=_or_none(f1),
            mistaken_for=class_names[mistakes[label].argmax()] if mistakes[label].any() else "",
            mistakes=int(mistakes[label].max()),
        )
        for label, (name, precision, recall, f1, support) in enumerate(
            zip(class_names, *each, strict=True)
        )
    )
    return Report(
        split=split,
        images=len(labels),
        top1=float((predicted == labels).mean()),
        top5=float((order == labels[:, None]).any(axis=1).mean()),
        superclass_accuracy=None
        if superclasses is class_names
        else float((superclass_of[predicted] == superclass_of[labels]).mean()),
        precision=mean[0],
        recall=mean[1],
        f1=mean[2],
        classes=classes,
        superclasses=()
        if superclasses is class_names
        else tuple(
            (
                name,
                int((superclass_of[labels] == index).sum()),
                _share(confusion, superclass_of == index),
            )
            for index, name in enumerate(superclasses)
        ),
        confusion=confusion,
    )


def report_as_text(report: Report) -> str:
    """Return tables for a terminal: overall, each superclass, each class."""
    lines = [
        f"{report.images} images ({report.split})",
        f"top-1 accuracy       {report.top1:8.2%}",
        f"top-5 accuracy       {report.top5:8.2%}",
    ]
    if report.superclass_accuracy is not None:
        lines.append(f"superclass accuracy  {report.superclass_accuracy:8.2%}")
    for name in ("precision", "recall", "f1"):
        lines.append(f"{'mean ' + name:19}  {getattr(report, name):8.2%}")
    if report.superclasses:
        rows = [("superclass", "images", "accuracy of its classes")]
        rows += [
            (name, f"{images:6}", _percent(share)) for name, images, share in report.superclasses
        ]
        lines += ["", table(rows)]
    rows = [("class", "images", "  recall", "precision", "      F1", "most often mistaken for")]
    for row in report.classes:
        mistaken = f"{row.mistaken_for} ({row.mistakes})" if row.mistakes else "-"
        shares = map(_percent, (row.recall, row.precision, row.f1))
        rows.append((row.name, f"{row.images:6}", *shares, mistaken))
    return "\n".join([*lines, "", table(rows)])


def report_as_csv(report: Report) -> str:
    """Return one line per class, with the fields of `ClassRow` as columns."""
    text = io.StringIO()
    rows = [asdict(row) for row in report.classes]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report_as_json(report: Report) -> str:
    """Return everything, the confusion matrix included; null where a fraction is undefined."""
    values = {field: getattr(report, field) for field in Report.__dataclass_fields__}
    values["classes"] = [asdict(row) for row in report.classes]
    values["confusion"] = report.confusion.tolist()
    return json.dumps(values, indent=1) + "\n"


def _share(confusion, members):
    total = confusion[members].sum()
    return float(np.diag(confusion)[members].sum() / total) if total else None


def _or_none(value):
    return None if np.isnan(value) else float(value)


def _percent(value):
    return "      no" if value is None else f"{value:8.2%}"


def _name(source):
    return getattr(source, "name", source)
