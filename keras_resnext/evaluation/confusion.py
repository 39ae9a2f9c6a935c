"""The confusion matrix as a picture."""

import os

import numpy as np

from keras_resnext.evaluation.report import Report
from keras_resnext.files import written_whole
from keras_resnext.plotting import new_figure

FEW = 20  # up to so many classes there is room for a number in each cell
MANY = 200  # up to so many there is room for names and lines between superclasses


def draw_confusion(report: Report, path: str | os.PathLike) -> None:
    """Draw the matrix: true classes down, predicted across, superclasses together, in percent.

    Args:
        report: what to draw.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    order = np.argsort(report.superclass_of, kind="stable")
    names = [report.class_names[label] for label in order]
    counts = report.confusion[np.ix_(order, order)]
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(names) <= FEW

    side = 3 + 0.55 * len(names) if few else 2.5 + 0.15 * min(len(names), MANY)
    figure = new_figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    # A mistake of a few percent must be seen, too: hence the square root.
    image = axes.imshow(percent, cmap="Blues", norm=_square_root())
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.7)
    size = 9 if few else 6
    if len(names) <= MANY:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        for border in np.flatnonzero(np.diff(report.superclass_of[order])) + 0.5:
            axes.axhline(border, color="0.6", linewidth=0.6)
            axes.axvline(border, color="0.6", linewidth=0.6)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{report.split}: top-1 {report.top1:.2%} of {report.samples} images")
    if few:
        for row, column in np.argwhere(counts):
            value = percent[row, column]
            axes.text(
                column,
                row,
                f"{value:.0f}" if value >= 1 else "<1",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if value > 40 else "black",
            )
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _square_root():
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=100)
