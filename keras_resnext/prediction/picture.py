"""Images and their likeliest classes as a picture."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_resnext.files import written_whole
from keras_resnext.plotting import new_figure
from keras_resnext.prediction.predictions import Prediction

MOST = 40  # images in a picture; more could not be read
COLUMNS = 2


def check_picture(path: Path) -> None:
    """Make sure that a picture can be drawn and written, before the work.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the name does not end in .png.
    """
    new_figure()
    if path.suffix != ".png":
        raise ValueError(f"plot: expected NAME.png, got {path.name}")


def draw_predictions(
    predictions: Sequence[Prediction], images: Sequence[np.ndarray], path: str | os.PathLike
) -> None:
    """Draw the first `MOST` images, each beside bars of its likeliest classes, in percent.

    Args:
        predictions: what to draw; more than there are images are not drawn.
        images: the first ones, as the network saw them, uint8 (height, width, 3).
        path: of the PNG.
    """
    shown = list(zip(predictions, images[:MOST], strict=False))
    rows = -(-len(shown) // COLUMNS)
    bars = max(len(prediction.guesses) for prediction, _ in shown)
    height = max(1.8, 0.5 + 0.22 * bars)
    figure = new_figure(figsize=(5.5 * COLUMNS, height * rows + 0.4), layout="constrained")
    figure.suptitle(f"{len(shown)} of {len(predictions)} images; probability in percent")
    cells = figure.subplots(rows, 2 * COLUMNS, squeeze=False, width_ratios=[1, 2] * COLUMNS)
    for axes in cells.flat:
        axes.set_axis_off()
    for (prediction, image), (left, right) in zip(shown, cells.reshape(-1, 2), strict=False):
        left.imshow(image)
        left.set_title(prediction.path.name, fontsize=7, parse_math=False)
        _draw_bars(right, prediction)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _draw_bars(axes, prediction):
    axes.set_axis_on()
    names = [guess.name for guess in prediction.guesses]
    percent = [100 * guess.probability for guess in prediction.guesses]
    places = range(len(names))
    axes.barh(places, percent, color="C0")
    axes.set_yticks(places, names, fontsize=7, parse_math=False)
    axes.set_xlim(0, 100)
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    for place, value in zip(places, percent, strict=True):
        # Inside a long bar, beside a short one.
        inside = value > 75
        axes.text(
            value - 1 if inside else value + 1,
            place,
            f"{value:.1f}",
            ha="right" if inside else "left",
            va="center",
            fontsize=7,
            color="white" if inside else "black",
        )
