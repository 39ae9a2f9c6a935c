"""Predictions, explanations and confusion matrices as PNG pictures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.files import atomic_write, figure
from keras_resnext.inference.evaluate import Report
from keras_resnext.inference.grad_cam import Explanation
from keras_resnext.inference.predict import Prediction

MOST_IMAGES = 40
"""In a picture of predictions; more could not be read."""
MOST_CLASSES = 10
"""In a picture of an explanation."""


def draw_predictions(predictions: Sequence[Prediction], path: str | os.PathLike) -> None:
    """Draw the first `MOST_IMAGES` images, each beside bars of its most likely classes, in percent.

    Args:
        predictions: what to draw.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    shown = [each for each in predictions[:MOST_IMAGES] if each.image is not None]
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
        left.set_title(_name(prediction), fontsize=7)
        _draw_bars(right, prediction)
    save_figure(drawing, path)


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


def draw_explanation(explanation: Explanation, path: str | os.PathLike) -> None:
    """Draw the image, and beside it, for each class, in gray under the class's heat map.

    Args:
        explanation: of no more than `MOST_CLASSES` classes.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    guesses = explanation.prediction.guesses
    drawing = figure(figsize=(2.4 * (1 + len(guesses)), 2.7), layout="constrained")
    axes = drawing.subplots(1, 1 + len(guesses))
    axes[0].imshow(explanation.prediction.image)
    axes[0].set_title(_name(explanation.prediction), fontsize=8)
    assert explanation.prediction.image is not None
    gray = explanation.prediction.image.mean(axis=-1)  # colors would mix with those of the heat
    for overlay, guess, heat in zip(axes[1:], guesses, explanation.heat, strict=True):
        overlay.imshow(gray, cmap="gray", vmin=0, vmax=255)
        overlay.imshow(heat, cmap="turbo", vmin=0, vmax=1, alpha=0.5)
        overlay.set_title(f"{guess.name} {guess.probability:.1%}", fontsize=8)
    for each in axes:
        each.set_axis_off()
    save_figure(drawing, path)


def explanation_files(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return where to write the picture of each image: names in one folder, each once.

    Args:
        paths: of the images, from any number of places.
        folder: to write to.

    Raises:
        ValueError: a picture would overwrite one of the images.
    """
    files: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in taken:  # some file systems ignore case
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        files[path] = folder / f"{name}.png"
    if clash := {file.resolve() for file in files.values()} & {path.resolve() for path in paths}:
        raise ValueError(
            f"output_dir: the picture of an image would overwrite the image {min(clash)}; choose "
            "another folder"
        )
    return files


def draw_confusion(report: Report, path: str | os.PathLike) -> None:
    """Draw the matrix: true classes down, predicted across, superclasses together, in percent.

    Args:
        report: what to draw.
        path: of the PNG.

    Raises:
        ImportError: matplotlib or scikit-learn is not installed.
    """
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
        im_kw={"norm": _square_root()},
    )
    drawing.colorbar(axes.images[0], ax=axes, label="share of the true class (%)", shrink=0.7)
    axes.tick_params(labelsize=9 if few else 6)
    if not readable:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_title(f"{report.split}: top-1 {report.top1:.2%} of {report.images} images")
    save_figure(drawing, path)


def _square_root():
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=100)


def _name(prediction):
    return prediction.path.name if prediction.path else ""


def save_figure(drawing: Any, path: str | os.PathLike) -> None:
    """Write a figure as PNG, its texts as they are: no mathematics between dollar signs.

    Letters that matplotlib's own font lacks (Korean class names) are drawn by a font of the system
    that has them all; where there is none, they are escaped.

    Args:
        drawing: of `keras_resnext.files.figure`.
        path: of the PNG.
    """
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font
    from matplotlib.text import Text

    def letters(font_file: str) -> set[int]:
        return set(FT2Font(font_file).get_charmap())

    texts = drawing.findobj(Text)
    own = letters(font_manager.findfont("DejaVu Sans"))
    missing = {ord(letter) for text in texts for letter in text.get_text()} - own - {ord("\n")}
    fonts = font_manager.fontManager.ttflist if missing else []
    fonts = [font for font in fonts if not font.name.startswith("Last Resort")]  # empty boxes
    other = next((font.name for font in fonts if missing <= letters(font.fname)), None)
    for text in texts:
        text.set_parse_math(False)
        if other:
            text.set_fontfamily(["DejaVu Sans", other])

    def shown(text: str) -> str:
        return "".join(x if ord(x) not in missing else ascii(x)[1:-1] for x in text)

    if missing and not other:
        for text in texts:
            text.set_text(shown(text.get_text()))
        for axis in (axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis)):
            labels = [text.get_text() for text in axis.get_ticklabels()]
            if [shown(label) for label in labels] != labels:  # they are set anew when drawn
                axis.set_ticklabels([shown(label) for label in labels])
    with atomic_write(path) as temporary:
        drawing.savefig(temporary, dpi=110)
