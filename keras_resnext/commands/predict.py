"""The command line of `scripts/predict.py`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_resnext.commands.line import parse, status
from keras_resnext.commands.trained import TrainedOptions
from keras_resnext.files import write_text
from keras_resnext.prediction.images import find_images
from keras_resnext.prediction.picture import MOST, check_picture, draw_predictions
from keras_resnext.prediction.predictions import Prediction, predict
from keras_resnext.prediction.predictor import Predictor, from_trained
from keras_resnext.prediction.saved_model import is_saved_model, opened_saved_model
from keras_resnext.prediction.tables import as_json, as_text

SKIPPED = 3


@dataclass(frozen=True)
class PredictCommand:
    """Say what images show: the likeliest classes of each, by a trained ResNeXt.

    Files that cannot be read are reported and skipped; the exit status is 3 then, and 1 if none
    can be read.
    """

    source: Path
    """Folder of a run, NAME.keras, NAME.weights.h5, the full name of published weights, or a
    SavedModel: saved_models/NAME/VERSION."""
    images: tuple[str, ...]
    """Image files, folders of such, or patterns such as 'photos/**/*.jpg'."""
    top: int = 5
    """How many classes to show of each image."""
    json: str | None = None
    """File to write the predictions to; -: print them instead of the table."""
    plot: Path | None = None
    """NAME.png to draw the first images and their classes in."""
    batch_size: int = 128
    """Images at a time."""
    trained: TrainedOptions = field(default_factory=TrainedOptions)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, predict, print and write.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 3 if some images could not be read; 1 if none could, or after an error.
    """
    return status(lambda: _main(parse(PredictCommand, arguments)))


def _main(command: PredictCommand) -> int:
    _check(command)
    paths = find_images(command.images)
    predictions: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    shown: list[np.ndarray] = []
    advance = _progress(len(paths), command.batch_size)
    with _predictor(command) as predictor:
        for batch in predict(predictor, paths, command.top, command.batch_size):
            predictions += batch.predictions
            unreadable |= batch.unreadable
            shown.extend(batch.images[: MOST - len(shown)].copy())
            advance(len(predictions) + len(unreadable))
    for path, reason in unreadable.items():
        print(f"skipped {path}: {reason}", file=sys.stderr)
    if not predictions:
        raise ValueError(f"images: none of {len(paths)} can be read")
    _write(command, predictions, unreadable, shown)
    return SKIPPED if unreadable else 0


def _check(command):
    for name in ("top", "batch_size"):
        if getattr(command, name) < 1:
            raise ValueError(f"{name}: expected 1 or more, got {getattr(command, name)}")
    if command.plot:
        check_picture(command.plot)
    for name in ("json", "plot"):
        value = getattr(command, name)
        if value not in (None, "-") and not Path(value).absolute().parent.is_dir():
            raise ValueError(f"{name}: {Path(value).parent} is no folder; make it first")


@contextmanager
def _predictor(command: PredictCommand) -> Iterator[Predictor]:
    if is_saved_model(command.source):
        _check_not_given(command)
        with opened_saved_model(command.source) as predictor:
            yield predictor
    else:
        trained = command.trained.find(command.source)
        yield from_trained(trained, command.trained.describe_dataset(trained))


def _check_not_given(command):
    for name in ("settings", "dataset", "data_dir", "image_size"):
        if (value := getattr(command.trained, name)) is not None:
            raise ValueError(f"{name}: a SavedModel knows its own, got {value}; leave it out")


def _progress(count: int, batch_size: int) -> Callable[[int], None]:
    """Show a bar on a terminal, if there is more than a batch. The table alone goes to stdout."""
    if count <= batch_size or not sys.stderr.isatty():
        return lambda done: None
    with redirect_stdout(sys.stderr):
        bar = keras.utils.Progbar(count, unit_name="image")

    def advance(done: int) -> None:
        with redirect_stdout(sys.stderr):
            bar.update(done)

    return advance


def _write(command, predictions, unreadable, shown):
    text = as_json(command.source, predictions, unreadable) if command.json else None
    if command.json == "-":
        print(text, end="")
    else:
        print(as_text(predictions))
        if text:
            write_text(command.json, text)
    if command.plot:
        draw_predictions(predictions, shown, command.plot)
