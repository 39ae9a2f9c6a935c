"""Keras' own weights files, read and written by the names of layers."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from keras_resnext.forms import join_branches
from keras_resnext.safe import check_model_file
from keras_resnext.weights.layers import LayerWeights

POOL = "_shortcut_pool"  # the end of a layer's name that tells of such shortcuts


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
    pooled = any(name.endswith(POOL) for name in layers)
    return LayerWeights(join_branches(layers), "average_pool" if pooled else "projection")


def write_by_name(path: Path, weights: LayerWeights) -> None:
    """Write weights for `read_keras_file`, without the network that Keras' own writer needs.

    `keras.Model.load_weights` wants the layers of each class counted, and does not read it.

    Raises:
        OSError: it cannot be written.
    """
    memory = io.BytesIO()  # HDF5 crashes where a disk is full (h5py issue 914)
    with h5py.File(memory, "w") as file:
        layers = dict(weights.arrays)
        if weights.shortcut == "average_pool":
            layers[POOL] = []
        for name, arrays in layers.items():
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for index, array in enumerate(arrays):
                group[str(index)] = array
    path.write_bytes(memory.getbuffer())


def _opened(path: Path) -> h5py.File:
    if path.suffix != ".keras":
        return h5py.File(path, "r")
    with zipfile.ZipFile(path) as archive:
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
