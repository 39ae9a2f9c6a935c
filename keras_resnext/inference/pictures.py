"""Predictions, explanations and confusion matrices as PNG pictures."""

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.files import atomic_write, escape, figure, require
from keras_resnext.inference.evaluate import Report
from keras_resnext.inference.predict import Prediction

FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "NanumGothic"),
    *("Malgun Gothic", "Microsoft YaHei", "Yu Gothic", "Apple SD Gothic Neo", "Arial Unicode MS"),
)
"""For letters that matplotlib's own font, the first, lacks; of Linux, Windows and macOS."""


def draw_predictions(predictions: Sequence[Prediction], path: str | os.PathLike) -> None:
    """Draw images, each beside bars of its most likely classes, in percent, as PNG.

    Predictions whose image was not kept are left out.

    Raises:
        ValueError: no image was kept.
        ImportError: matplotlib is not installed.
    """
    shown = [each for each in predictions if each.image is not None]
    if not shown:
        raise ValueError(
            f"predictions: expected some with an image, got {len(predictions)} without"
        )
    rows = -(-len(shown) // 2)
    bars = max(len(prediction.guesses) for prediction in shown)
    height = max(1.8, 0.5 + 0.22 * bars)
    drawing = figure(figsize=(11, height * rows + 0.4), layout="constrained")
    drawing.suptitle(f"{len(shown)} of {len(predictions)} images; probability in percent")
    cells = drawing.subplots(rows, 4, squeeze=False, width_ratios=[1, 2, 1, 2])
    for axes in cells.flat:
        axes.set_axis_off()
    for prediction, (left, right) in zip(shown, cells.reshape(-1, 2), strict=False):
        left.imshow(prediction.image)
        left.set_title(_title(prediction), fontsize=7)
        _draw_bars(right, prediction)
    _save(drawing, path)


def _draw_bars(axes, prediction):
    axes.set_axis_on()
    places = range(len(prediction.guesses))
    percent = [100 * guess.probability for guess in prediction.guesses]
    bars = axes.barh(places, percent, color="C0")
    axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.set_yticks(places, [guess.name for guess in prediction.guesses], fontsize=7)
    axes.set_xlim(0, 112)  # room for the label of a full bar
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw_explanation(explained: Prediction, path: str | os.PathLike) -> None:
    """Draw what `explain` found as PNG: the image, and in gray under each class's heat map.

    Raises:
        ImportError: matplotlib is not installed.
    """
    guesses, image, heat = explained.guesses, explained.image, explained.heat
    assert image is not None
    assert heat is not None
    drawing = figure(figsize=(2.4 * (1 + len(guesses)), 2.7), layout="constrained")
    axes = drawing.subplots(1, 1 + len(guesses))
    axes[0].imshow(image)
    axes[0].set_title(_title(explained), fontsize=8)
    gray = image.mean(axis=-1)  # colors would mix with those of the heat
    for overlay, guess, hot in zip(axes[1:], guesses, heat, strict=True):
        overlay.imshow(gray, cmap="gray", vmin=0, vmax=255)
        overlay.imshow(hot, cmap="turbo", vmin=0, vmax=1, alpha=0.5)
        overlay.set_title(f"{guess.name} {guess.probability:.1%}", fontsize=8)
    for each in axes:
        each.set_axis_off()
    _save(drawing, path)


def explanation_files(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return where to write the picture of each image: one folder, no name twice, no image's."""
    files: dict[Path, Path] = {}
    taken = {str(path.resolve()).casefold() for path in paths}  # some file systems ignore case
    for path in paths:
        names = (f"{path.stem}-{number}" if number > 1 else path.stem for number in count(1))
        every = (folder / f"{name}.png" for name in names)
        files[path] = next(x for x in every if str(x.resolve()).casefold() not in taken)
        taken.add(str(files[path].resolve()).casefold())
    return files


def draw_confusion(report: Report, path: str | os.PathLike) -> None:
    """Draw the matrix: true classes down, predicted across, superclasses together, in percent.

    Raises:
        ImportError: matplotlib or scikit-learn is not installed.
    """
    colors = require("matplotlib.colors", "plots need matplotlib")
    from sklearn.metrics import ConfusionMatrixDisplay

    groups = [row["superclass"] for row in report.classes]
    order = sorted(range(len(groups)), key=lambda label: groups.index(groups[label]))
    names = [report.classes[label]["class"] for label in order]
    counts = report.confusion[np.ix_(order, order)]
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few, readable = len(names) <= 20, len(names) <= 200
    side = 3 + 0.55 * len(names) if few else 2.5 + 0.15 * min(len(names), 200)
    drawing = figure(figsize=(side + 1, side), layout="constrained")
    axes = drawing.subplots()
    ConfusionMatrixDisplay(percent, display_labels=names if readable else None).plot(
        ax=axes,
        cmap="Blues",
        include_values=few,
        values_format=".0f",
        colorbar=False,
        xticks_rotation="vertical",
        text_kw={"fontsize": 9},
        # A mistake of a few percent must be seen, too: hence the square root.
        im_kw={"norm": colors.PowerNorm(0.5, vmin=0, vmax=100)},
    )
    drawing.colorbar(axes.images[0], ax=axes, label="share of the true class (%)", shrink=0.7)
    axes.tick_params(labelsize=9 if few else 6)
    if not readable:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_title(f"{report.split}: top-1 {report.top1:.2%} of {report.images} images")
    _save(drawing, path)


def _title(prediction: Prediction) -> str:
    return escape(prediction.path.name) if prediction.path else ""


def _save(drawing: Any, path: str | os.PathLike) -> None:
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = {font.name for font in fontManager.ttflist}
    for text in drawing.findobj(Text):
        text.set_parse_math(False)  # dollar signs in names are meant
        text.set_fontfamily([font for font in FONTS if font in installed])
    with atomic_write(path) as temporary:
        drawing.savefig(temporary, dpi=110)
