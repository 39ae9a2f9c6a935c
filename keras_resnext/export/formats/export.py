"""From a trained network to a file of another format."""

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from keras_resnext.data import Dataset, normalise
from keras_resnext.export.formats import runner
from keras_resnext.export.formats.checks import (
    SameAccuracy,
    SameLogits,
    same_accuracy,
    same_logits,
)
from keras_resnext.export.formats.network import from_pixels
from keras_resnext.export.formats.table import FORMATS, Format
from keras_resnext.export.interface import write_preprocessing
from keras_resnext.export.network import inference_network
from keras_resnext.export.processes import run_python
from keras_resnext.export.verification import sample_images
from keras_resnext.export.versions import publish
from keras_resnext.training.trained import Trained

CALIBRATION = 256  # images; LiteRT's guide asks for 100 to 500


@dataclass(frozen=True)
class ExportedFormat:
    """An export that has been verified.

    Attributes:
        folder: NAME/VERSION; it holds the model, labels.txt, the class names by label, and
            preprocessing.json.
        check: what was found.
    """

    folder: Path
    check: SameLogits | SameAccuracy


def export_format(
    trained: Trained, dataset: Dataset, format_name: str, model_folder: Path
) -> ExportedFormat:
    """Export a trained network to `model_folder/VERSION`, the next free version.

    The file takes `images`, float32 (batch, height, width, 3) with pixels from 0 to 255 and a batch
    of any size, and gives `logits`, float32 (batch, classes). One process writes it under the
    backend that is good at the format, another runs it in the format's own runtime on images of the
    test split. Only if its answers are the network's, it is moved into place.

    Args:
        trained: what `find_trained` found.
        dataset: that it was trained on; int8 is calibrated on some of its images.
        format_name: one of `FORMATS`.
        model_folder: where the versions of this model in this format are. A folder of SavedModels
            is not fit: TensorFlow Serving takes every version for one.

    Raises:
        ValueError: the format is unknown, or the network is not one of this data set.
        ImportError: a package is not installed.
        OSError: `model_folder` cannot be written to.
        ExportError: (a RuntimeError) the export computes something else.
        RuntimeError: writing or running failed.
    """
    if format_name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format_name!r}")
    chosen = FORMATS[format_name]
    _check_installed(format_name, chosen)
    preprocessing = dataset.preprocessing
    images = dataset.test.images if chosen.int8 else sample_images(dataset)
    model_folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside `model_folder`, so that what it will hold can be moved into place in one step.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=model_folder.parent) as scratch:
        handed, folder = Path(scratch), Path(scratch) / "export"
        folder.mkdir()
        np.save(handed / "images.npy", images)
        np.save(handed / "calibration.npy", _calibration_images(dataset))
        # A GPU may round float32 to fewer digits, and would not be fit to compare with.
        with keras.device("cpu:0"):
            network = inference_network(trained, dataset)
            from_pixels(network, preprocessing).save(handed / "network.keras")
            expected = runner.logits(
                lambda x: network.predict(
                    normalise(x, preprocessing.mean, preprocessing.std), verbose=0
                ),
                images,
            )
        backend = chosen.backend or keras.config.backend()
        run_python(
            f"writing {format_name}",
            *("-m", "keras_resnext.export.formats.writer"),
            *(format_name, handed, folder / chosen.file),
            KERAS_BACKEND=backend,
        )
        run_python(
            f"running {format_name}",
            *("-P", runner.__file__, chosen.runtime, folder / chosen.file),
            *(handed / "images.npy", handed / "answers.npy"),
            KERAS_BACKEND=backend,
        )
        logits = np.load(handed / "answers.npy")
        check = (
            same_accuracy(logits, expected, dataset)
            if chosen.int8
            else same_logits(logits, expected)
        )
        labels = "".join(f"{name}\n" for name in dataset.class_names)
        (folder / "labels.txt").write_text(labels, encoding="utf-8")
        write_preprocessing(folder, preprocessing)
        return ExportedFormat(publish(folder, model_folder), check)


def _check_installed(format_name: str, chosen: Format) -> None:
    missing = [package for package in chosen.packages if not find_spec(package)]
    if missing:
        raise ImportError(
            f"the format {format_name} needs {', '.join(missing)}, whatever backend trained. "
            f'Type: pip install "keras-resnext[{chosen.extra}]"'
        )


def _calibration_images(dataset: Dataset) -> np.ndarray:
    """Some training images, spread over the whole split: uint8 (up to 256, height, width, 3).

    Of the test split where there are none: they only tell how large activations get.
    """
    images = (dataset.train if len(dataset.train) else dataset.test).images
    return images[np.linspace(0, len(images) - 1, min(CALIBRATION, len(images))).astype(int)]
