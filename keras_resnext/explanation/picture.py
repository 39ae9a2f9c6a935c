"""An explanation as a picture."""

import os

from keras_resnext.explanation.explanations import Explanation
from keras_resnext.files import written_whole
from keras_resnext.plotting import new_figure

MOST = 10  # classes in a picture; more could not be read
OPACITY = 0.5


def draw_explanation(explanation: Explanation, path: str | os.PathLike) -> None:
    """Draw the image, and beside it, for each class, in grey under the class's map of heat.

    Args:
        explanation: of no more than `MOST` classes.
        path: of the PNG.
    """
    guesses = explanation.prediction.guesses
    figure = new_figure(figsize=(2.4 * (1 + len(guesses)), 2.7), layout="constrained")
    axes = figure.subplots(1, 1 + len(guesses))
    axes[0].imshow(explanation.image)
    _label(axes[0], explanation.prediction.path.name)
    grey = explanation.image.mean(axis=-1)  # colours would mix with those of the heat
    for overlay, guess, heat in zip(axes[1:], guesses, explanation.heat, strict=True):
        overlay.imshow(grey, cmap="gray", vmin=0, vmax=255)
        overlay.imshow(heat, cmap="turbo", vmin=0, vmax=1, alpha=OPACITY)
        _label(overlay, f"{guess.name} {guess.probability:.1%}")
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _label(axes, title):
    axes.set_axis_off()
    axes.set_title(title, fontsize=8, parse_math=False)
