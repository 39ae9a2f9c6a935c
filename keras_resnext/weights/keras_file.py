"""Keras' own weights files, read by the names of layers."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from keras_resnext.forms import join_branches
from keras_resnext.safe import check_model_file
from keras_resnext.weights.layers import LayerWeights


def is_keras_file(path: Path) -> bool:
    """Whether a file is one of Keras 3; older ones have the same endings."""
    if path.suffix == ".keras":
        return True
    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "layers" in file
    except OSError:  # damaged, as reading will say
        return True


def read_keras_file(path: Path) -> LayerWeights:
    """Read `NAME.weights.h5`, or the weights in `NAME.keras`.

    `keras.Model.load_weights` goes by the order of the layers of each class, so that it needs all
    of a network before it can say what is wrong; the files know the layers' names too.

    Raises:
        ValueError: it is damaged, or has no names.
    """
    if path.suffix == ".keras":
        check_model_file(path)
    try:
        with _opened(path) as file:
            groups = list(file["layers"].values())
            layers = {
                str(group["vars"].attrs["name"]): [
                    np.asarray(group["vars"][key]) for key in sorted(group["vars"], key=int)
                ]
                for group in groups
                if "name" in group["vars"].attrs
            }
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no weights file of Keras 3 ({error})") from error
    if not any(layers.values()):
        raise ValueError(
            f"{path} does not name its layers, as Keras has done since 3.6; load it by "
            "`model.load_weights`, and save it again"
        )
    pooled = any(name.endswith("_shortcut_pool") for name in layers)
    return LayerWeights(join_branches(layers), "average_pool" if pooled else "projection")


def _opened(path: Path) -> h5py.File:
    if path.suffix != ".keras":
        return h5py.File(path, "r")
    with zipfile.ZipFile(path) as archive:
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
