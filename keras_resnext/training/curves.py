"""Learning curves as pictures: of a run, and of several over each other."""

from collections.abc import Mapping
from pathlib import Path

from keras_resnext.files import written_whole
from keras_resnext.plotting import new_figure
from keras_resnext.training.progress import Progress, Row

# History's name, unit on the axis, and what to multiply by.
METRICS = (("loss", "", 1), ("accuracy", " (%)", 100))
DECADE = 10.0


def draw_curves(progress: Progress, path: Path) -> None:
    """Draw loss and accuracy of training and validation, and the learning rate, by epoch.

    Args:
        progress: with one epoch or more.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = new_figure(figsize=(15, 4.2), layout="constrained")
    epochs = [row["epoch"] for row in progress.history]
    *panels, rate = figure.subplots(1, 3)
    for axes, (name, unit, scale) in zip(panels, METRICS, strict=True):
        for prefix, label, style in (("", "training", "C0.-"), ("val_", "validation", "C1.-")):
            values = [scale * row[prefix + name] for row in progress.history]
            axes.plot(epochs, values, style, label=label)
        axes.axvline(progress.best_epoch, color="0.5", linestyle=":", label="best epoch")
        _label(axes, name + unit)
    loss, accuracy = panels
    loss.legend()
    best = 100 * progress.best_accuracy
    accuracy.plot(progress.best_epoch, best, "C1o", markersize=9, fillstyle="none")
    accuracy.set_title(f"best validation: {best:.2f} % at epoch {progress.best_epoch}")
    rates = [row["learning_rate"] for row in progress.history]
    rate.plot(epochs, rates, "C2.-")
    if _spans_a_decade(rates):
        rate.set_yscale("log")
    _label(rate, "learning rate at the epoch's end")
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_comparison(histories: Mapping[str, list[Row]], path: Path) -> None:
    """Draw loss and accuracy of several runs over each other.

    Validation is drawn through, training thin and dashed, in one colour a run; colours come back
    after ten runs.

    Args:
        histories: rows of one epoch or more, by the run's name.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = new_figure(figsize=(13, 5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (name, unit, scale) in zip(panels, METRICS, strict=True):
        for index, (run, rows) in enumerate(histories.items()):
            epochs = [row["epoch"] for row in rows]
            colour = f"C{index % 10}"
            for key, label, line in ((f"val_{name}", run, ".-"), (name, None, ".--")):
                values = [scale * row[key] for row in rows]
                width = 1.6 if label else 0.7
                axes.plot(epochs, values, line, color=colour, linewidth=width, ms=3, label=label)
        axes.set_title("validation; training dashed")
        _label(axes, name + unit)
    panels[0].legend()
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _label(axes, name):
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.set_xlim(left=0)  # a single epoch, too, gets whole numbers
    axes.xaxis.get_major_locator().set_params(integer=True)


def _spans_a_decade(rates: list[float]) -> bool:
    """A cosine ends at 0, which no logarithmic axis holds: the line leaves the panel there."""
    positive = [rate for rate in rates if rate > 0]
    return bool(positive) and max(positive) > DECADE * min(positive)
