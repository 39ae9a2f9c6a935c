"""Write a SavedModel: `python -m keras_resnext.export.tensorflow.writer SCRATCH FOLDER`.

Runs with Keras on TensorFlow, in a process of its own. SCRATCH holds network.keras, interface.json
and images.npy.
"""

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnext.export.folding import fold_batch_norm
from keras_resnext.export.interface import Interface
from keras_resnext.export.tensorflow.network import frozen
from keras_resnext.export.tensorflow.signatures import Served
from keras_resnext.export.tensorflow.warmup import write_warmup


def write(network: keras.Model, interface: Interface, image: np.ndarray, folder: Path) -> None:
    """Write a SavedModel, with requests to warm it up where tensorflow-serving-api is installed.

    Args:
        network: from normalised images, channels last, to logits.
        interface: what a client meets.
        image: uint8 (height, width, 3), to warm up with.
        folder: to write to.
    """
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch) / "labels.txt"
        labels.write_text("".join(f"{name}\n" for name in interface.class_names), encoding="utf-8")
        served = Served(frozen(fold_batch_norm(network)), interface, labels)
        tf.saved_model.save(served, str(folder), signatures=served.signatures())
    with suppress(ImportError):
        write_warmup(folder, image, interface)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    write(
        keras.saving.load_model(given / "network.keras", compile=False),
        Interface.read(given / "interface.json"),
        np.load(given / "images.npy")[0],
        Path(sys.argv[2]),
    )
