"""A report as text, CSV and JSON."""

import csv
import io
import json
import math

from keras_resnext.evaluation.report import Report


def as_text(report: Report) -> str:
    """Table for a terminal: overall, each superclass, each class."""
    names = (*report.class_names, *report.superclass_names)
    width = max(len(name) for name in names)
    lines = [
        f"{report.samples} images of the {report.split} split",
        f"top-1 accuracy       {report.top1:8.2%}",
        f"top-5 accuracy       {report.top5:8.2%}",
    ]
    if report.superclass_names != report.class_names:  # a folder of images has none of their own
        lines += [
            f"superclass accuracy  {report.superclass:8.2%}",
            "",
            f"{'superclass':{width}}  images  accuracy of its classes",
        ]
        for name, images, accuracy in _superclass_rows(report):
            lines.append(f"{name:{width}}  {images:6}  {_percent(accuracy)}")
    lines += ["", f"{'class':{width}}  images  accuracy  most often taken for"]
    for row in class_rows(report):
        confused = f"{row['mistaken_for']} ({row['mistakes']})" if row["mistakes"] else "-"
        lines.append(
            f"{row['class']:{width}}  {row['images']:6}  {_percent(row['accuracy'])}  {confused}"
        )
    return "\n".join(lines)


def as_csv(report: Report) -> str:
    """One line a class."""
    text = io.StringIO()
    rows = class_rows(report)
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(report: Report) -> str:
    """Everything, the confusion matrix included; null where a class has no image."""
    values = {
        "split": report.split,
        "images": report.samples,
        "top1": report.top1,
        "top5": report.top5,
        "superclass_accuracy": report.superclass,
        "superclasses": [
            {"superclass": name, "images": images, "accuracy": accuracy}
            for name, images, accuracy in _superclass_rows(report)
        ],
        "classes": class_rows(report),
        "confusion": report.confusion.tolist(),
    }
    return json.dumps(values, indent=1) + "\n"


def class_rows(report: Report) -> list[dict]:
    """Name, superclass, images, accuracy of each class, and the class it is most taken for."""
    rows = []
    for label, name in enumerate(report.class_names):
        mistakes = report.confusion[label].copy()
        mistakes[label] = 0
        worst = int(mistakes.argmax())
        rows.append(
            {
                "class": name,
                "superclass": report.superclass_names[report.superclass_of[label]],
                "images": int(report.class_samples[label]),
                "accuracy": _or_none(report.class_accuracy[label]),
                "mistaken_for": report.class_names[worst] if mistakes[worst] else "",
                "mistakes": int(mistakes[worst]),
            }
        )
    return rows


def _superclass_rows(report):
    for index, name in enumerate(report.superclass_names):
        images = int(report.superclass_samples[index])
        yield name, images, _or_none(report.superclass_accuracy[index])


def _or_none(value):
    return None if math.isnan(value) else float(value)


def _percent(value):
    return "      no" if value is None else f"{value:8.2%}"
