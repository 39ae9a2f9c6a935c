"""A SavedModel that `scripts/export.py` wrote, run in a process of its own."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from keras_resnext.export.interface import PREPROCESSING_FILE
from keras_resnext.prediction import saved_model_worker
from keras_resnext.prediction.predictor import Predictor
from keras_resnext.preprocessing import Preprocessing, fitted

LABELS = Path("assets") / "labels.txt"
PREPROCESSING = Path("assets.extra") / PREPROCESSING_FILE


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is a SavedModel.

    Raises:
        ValueError: it is the folder around versions of one.
    """
    if versions := sorted(str(path.parent) for path in folder.glob("*/saved_model.pb")):
        raise ValueError(f"source: expected the folder of one version: {', '.join(versions)}")
    return (folder / "saved_model.pb").is_file()


@contextmanager
def opened_saved_model(folder: Path) -> Iterator[Predictor]:
    """Start a process of TensorFlow's, whatever the backend of this one, and end it afterwards.

    A SavedModel is a program (https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md).
    One with operations that `saved_model_cli scan` warns of, which read and write files, is not
    loaded.

    Args:
        folder: NAME/VERSION.

    Raises:
        ImportError: TensorFlow is not installed.
        ValueError: it is damaged, not of `scripts/export.py`, or wants files.
        RuntimeError: TensorFlow failed.
    """
    if not find_spec("tensorflow"):
        raise ImportError(
            "a SavedModel is run by TensorFlow, whatever the backend; it is not installed. "
            'Type: pip install "keras-resnext[tensorflow]"'
        )
    class_names = _labels(folder)
    preprocessing = _written_preprocessing(folder)
    spawn = multiprocessing.get_context("spawn")  # a fork would share the backend's threads
    with ProcessPoolExecutor(1, spawn, saved_model_worker.keep_off_the_gpu) as process:

        def ask(function, *arguments):
            try:
                return process.submit(function, str(folder), *arguments).result()
            except BrokenProcessPool as error:
                raise RuntimeError(f"the process that runs {folder} died") from error

        height, width, classes = ask(saved_model_worker.shape)
        if classes != len(class_names):
            raise ValueError(
                f"source: {folder} tells {classes} classes apart, {LABELS} names "
                f"{len(class_names)}; export it anew"
            )
        preprocessing = preprocessing or fitted(height)  # as older ones all were
        size = preprocessing.image_size
        if (height, width) != (size, size):
            raise ValueError(
                f"source: {folder} takes images of {height}x{width}, expected squares of {size} "
                f"({PREPROCESSING}); export it anew"
            )
        probabilities = partial(ask, saved_model_worker.probabilities)
        yield Predictor(class_names, preprocessing, probabilities)


def _written_preprocessing(folder: Path) -> Preprocessing | None:
    """What an export says of itself; None where it says nothing, as older ones do."""
    file = folder / PREPROCESSING
    if not file.exists():
        return None
    try:
        return Preprocessing.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"source: expected preprocessing in {file}, as scripts/export.py writes it ({error})"
        ) from error


def _labels(folder: Path) -> tuple[str, ...]:
    try:
        text = (folder / LABELS).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"source: expected class names in {folder / LABELS}, as scripts/export.py writes them "
            f"({error})"
        ) from error
    names = tuple(text.removesuffix("\n").split("\n"))
    if strange := [name for name in names if not name.isprintable()]:
        raise ValueError(f"source: {folder / LABELS} has names not fit to print: {strange[0]!r}")
    return names
