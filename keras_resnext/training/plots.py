"""Learning curves as pictures: of a run, and of several over each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_resnext.files import atomic_write, figure
from keras_resnext.training.checkpoints import Row

# The history's name, unit on the axis, and what to multiply by.
METRICS = (("loss", "", 1), ("accuracy", " (%)", 100))
DECADE = 10


def draw_curves(history: Sequence[Row], path: Path) -> None:
    """Draw loss and accuracy of training and validation, and the learning rate, by epoch.

    Args:
        history: of one epoch or more.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    canvas = figure(figsize=(15, 4.2), layout="constrained")
    *panels, rate = canvas.subplots(1, 3)
    best = max(history, key=lambda row: float(row["val_accuracy"]))
    for axes, (name, unit, scale) in zip(panels, METRICS, strict=True):
        for prefix, label, style in (("", "training", "C0.-"), ("val_", "validation", "C1.-")):
            _plot(axes, history, prefix + name, scale, style, label=label)
        axes.axvline(best["epoch"], color="0.5", linestyle=":", label="best epoch")
        _label(axes, name + unit)
    panels[0].legend()
    percent = 100 * float(best["val_accuracy"])
    panels[1].plot(best["epoch"], percent, "C1o", markersize=9, fillstyle="none")
    panels[1].set_title(f"best validation: {percent:.2f} % at epoch {best['epoch']:.0f}")
    _plot(rate, history, "learning_rate", 1, "C2.-")
    positive = [value for row in history if (value := float(row["learning_rate"])) > 0]
    if positive and max(positive) > DECADE * min(positive):
        rate.set_yscale("log")
    _label(rate, "learning rate at the epoch's end")
    with atomic_write(path) as temporary:
        canvas.savefig(temporary, dpi=120)


def draw_comparison(histories: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw loss and accuracy of several runs over each other, training thin and dashed.

    Args:
        histories: rows of one epoch or more, by the run's name.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    canvas = figure(figsize=(13, 5), layout="constrained")
    panels = canvas.subplots(1, 2)
    for axes, (name, unit, scale) in zip(panels, METRICS, strict=True):
        for index, (run, rows) in enumerate(histories.items()):
            style = {"color": f"C{index % 10}", "ms": 3}
            label = run.replace("$", r"\$")  # or matplotlib reads it as mathematics
            _plot(axes, rows, f"val_{name}", scale, ".-", linewidth=1.6, label=label, **style)
            _plot(axes, rows, name, scale, ".--", linewidth=0.7, **style)
        axes.set_title("validation; training dashed")
        _label(axes, name + unit)
    panels[0].legend()
    with atomic_write(path) as temporary:
        canvas.savefig(temporary, dpi=120)


def _plot(axes, history, name, scale, style, **arguments):
    values = [scale * float(row[name]) for row in history]
    axes.plot([row["epoch"] for row in history], values, style, **arguments)


def _label(axes, name):
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.set_xlim(left=0)  # a single epoch, too, gets whole numbers
    axes.xaxis.get_major_locator().set_params(integer=True)
