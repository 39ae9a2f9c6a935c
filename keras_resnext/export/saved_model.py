"""From a trained network to a SavedModel that stock TensorFlow Serving runs."""

import re
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from keras_resnext.data import Dataset, normalise
from keras_resnext.export.card import model_card
from keras_resnext.export.interface import Interface, write_preprocessing
from keras_resnext.export.network import inference_network
from keras_resnext.export.processes import run_python
from keras_resnext.export.verification import compare, framed, sample_images
from keras_resnext.export.versions import publish
from keras_resnext.training.trained import Trained

READER = Path(__file__).parent / "tensorflow" / "reader.py"


@dataclass(frozen=True)
class Exported:
    """An export that has been verified.

    Attributes:
        folder: NAME/VERSION.
        differences: from the network, the largest absolute one of each kind of output.
        images: how many it was compared on.
        warm: whether it holds requests to warm a server up.
    """

    folder: Path
    differences: dict[str, float]
    images: int
    warm: bool


def export_saved_model(
    trained: Trained, dataset: Dataset, name: str, output_dir: Path, command: str
) -> Exported:
    """Export a trained network to `output_dir/name/VERSION`, the next free version.

    Keras' own `model.export` does not do: under TensorFlow and JAX the SavedModel needs XLA, which
    TensorFlow Serving switches off, and under PyTorch there is none with a batch of any size. So
    another process writes it with Keras on TensorFlow, and a third, without Keras, runs it on
    images of the test split. Only if its answers are the network's, it is moved into place.

    Args:
        trained: what `find_trained` found.
        dataset: that it was trained on.
        name: of the model on a server.
        output_dir: where exports go.
        command: what the user typed, for the model card.

    Raises:
        ValueError: the name cannot be served, or the network is not one of this data set.
        ImportError: TensorFlow is not installed.
        OSError: `output_dir` cannot be written to.
        ExportError: (a RuntimeError) the export computes something else.
        RuntimeError: TensorFlow failed.
    """
    _check_name(name)
    if not find_spec("tensorflow"):
        raise ImportError(
            "a SavedModel is written by TensorFlow, whatever backend trained; it is not installed. "
            'Type: pip install "keras-resnext[tensorflow]"'
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    # In `output_dir`, so that what it will hold can be moved into place in one step.
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output_dir) as scratch:
        handed, folder = Path(scratch), Path(scratch) / "saved_model"
        images = sample_images(dataset)
        np.save(handed / "images.npy", images)
        preprocessing = dataset.preprocessing
        np.save(handed / "framed.npy", framed(images, preprocessing))
        interface = Interface(name, preprocessing, dataset.class_names)
        interface.write(handed / "interface.json")
        # A GPU may round float32 to fewer digits, and would not be fit to compare with.
        with keras.device("cpu:0"):
            network = inference_network(trained, dataset)
            network.save(handed / "network.keras")
            normalised = normalise(images, preprocessing.mean, preprocessing.std)
            logits = network.predict(normalised, verbose=0)
        writer = ("-m", "keras_resnext.export.tensorflow.writer")
        run_python("writing the SavedModel", *writer, handed, folder, KERAS_BACKEND="tensorflow")
        run_python(
            "running the SavedModel",
            *("-P", READER, folder),
            *(handed / file for file in ("images.npy", "framed.npy", "answers.npz")),
        )
        with np.load(handed / "answers.npz") as answers:
            differences = compare(logits, answers, dataset.class_names)
        extra = folder / "assets.extra"
        extra.mkdir(exist_ok=True)
        write_preprocessing(extra, preprocessing)
        warm = (extra / "tf_serving_warmup_requests").exists()
        card = model_card(trained, dataset, interface, network, differences, command)
        (extra / "model_card.md").write_text(card, encoding="utf-8")
        return Exported(publish(folder, output_dir / name), differences, len(images), warm)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise ValueError(
            f"name: expected letters, digits, '-', '_' and '.', since it is part of the address "
            f"on a server, got {name!r}; choose one by --name"
        )
