"""The learning curves of a run as a picture."""

from pathlib import Path

from keras_resnext.files import written_whole
from keras_resnext.training.progress import Progress


def draw_curves(progress: Progress, path: Path) -> None:
    """Draw loss and accuracy by epoch, of training and validation, the best epoch marked.

    Args:
        progress: with one epoch or more.
        path: of the PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure_class = _figure_class()
    figure = figure_class(figsize=(11, 4.2), layout="constrained")
    epochs = [row["epoch"] for row in progress.history]
    loss, accuracy = figure.subplots(1, 2)
    for axes, name, unit in ((loss, "loss", ""), (accuracy, "accuracy", " (%)")):
        scale = 100 if unit else 1
        for prefix, label, style in (("", "training", "C0.-"), ("val_", "validation", "C1.-")):
            values = [scale * row[prefix + name] for row in progress.history]
            axes.plot(epochs, values, style, label=label)
        axes.axvline(progress.best_epoch, color="0.5", linestyle=":", label="best epoch")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name + unit)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    loss.legend()
    best = 100 * progress.best_accuracy
    accuracy.plot(progress.best_epoch, best, "C1o", markersize=9, fillstyle="none")
    accuracy.set_title(f"best validation: {best:.2f} % at epoch {progress.best_epoch}")
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _figure_class():
    try:
        from matplotlib.figure import Figure  # without pyplot: no window, no global state
    except ImportError as error:
        raise ImportError(
            'plots need matplotlib. Type: pip install "keras-resnext[scripts]"'
        ) from error
    return Figure
