"""Learning curves as pictures: of one run, or of several over each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_resnext.files import atomic_write, figure
from keras_resnext.training.checkpoints import Row

DECADE = 10


def draw_curves(histories: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw loss, accuracy and learning rate by epoch into a PNG, in one color per run.

    Validation is solid, training thin and dashed, the best epoch circled.

    Args:
        histories: rows of one epoch or more, by the run's name.
        path: of the PNG.
    """
    canvas = figure(figsize=(15, 4.2), layout="constrained")
    loss, accuracy, rate = canvas.subplots(1, 3)
    for index, (run, rows) in enumerate(histories.items()):
        best = max(rows, key=lambda row: float(row["val_accuracy"]))
        label = f"{run}: {best['val_accuracy']:.2%} at epoch {best['epoch']:.0f}"
        label = label.replace("$", r"\$")  # or matplotlib reads it as mathematics
        for axes, name, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
            for key, style, width in ((f"val_{name}", ".-", 1.6), (name, ".--", 0.7)):
                _plot(axes, rows, key, scale, style, color=f"C{index % 10}", linewidth=width)
            _plot(axes, [best], f"val_{name}", scale, "o", color=f"C{index % 10}", mfc="none")
        _plot(rate, rows, "learning_rate", 1, ".-", color=f"C{index % 10}", label=label)
    rates = [float(row["learning_rate"]) for rows in histories.values() for row in rows]
    positive = [value for value in rates if value > 0]
    if positive and max(positive) > DECADE * min(positive):
        rate.set_yscale("log")
    titles = ("loss", "accuracy (%)", "learning rate at the epoch's end")
    for axes, title in zip((loss, accuracy, rate), titles, strict=True):
        axes.set(xlabel="epoch", ylabel=title)
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)  # a single epoch, too, gets whole numbers
        axes.xaxis.get_major_locator().set_params(integer=True)
    loss.set_title("validation; training dashed")
    rate.legend(title="best validation accuracy")
    with atomic_write(path) as temporary:
        canvas.savefig(temporary, dpi=120)


def _plot(axes, rows, name, scale, style, **arguments):
    values = [scale * float(row[name]) for row in rows]
    axes.plot([row["epoch"] for row in rows], values, style, **arguments)
