"""Write a file: `python -m keras_resnext.export.formats.writer FORMAT SCRATCH FILE`.

Runs with Keras on the backend that the table names, in a process of its own. SCRATCH holds
network.keras, and for int8 formats calibration.npy.
"""

import sys
from importlib import import_module
from pathlib import Path

import keras
import numpy as np

from keras_resnext.export.formats.table import FORMATS

if __name__ == "__main__":
    chosen, given, file = FORMATS[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3])
    images = [np.load(given / "calibration.npy").astype(np.float32)] if chosen.int8 else []
    with keras.device("cpu:0"):
        network = keras.saving.load_model(given / "network.keras", compile=False)
        module = import_module(f"keras_resnext.export.formats.{chosen.module}")
        module.write(network, file, *images)
