"""Weights files of tf.keras and keras-applications (`.h5`, Keras 1 and 2)."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from keras_resnext.weights.arrays import WeightsError, check_total, plain

ELSEWHERE = "{} is not in the file itself, or no array; expected arrays, and no links"


def read_old_keras(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of each layer, from a file of weights or of a whole model.

    Keras' own loader of these files (`load_weights`) needs a network of the same layers, in their
    order. Nothing but arrays is read of a whole model.

    Returns:
        Arrays by "LAYER/WEIGHT", as "conv1_conv/kernel".

    Raises:
        WeightsError: it is damaged, of Keras 3, or takes arrays from elsewhere.
    """
    try:
        with h5py.File(path, "r") as file:
            root = _own(file, "model_weights") if "model_weights" in file else file
            if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
                raise WeightsError(_strange(file))
            pairs = list(_datasets(root))
            datasets = dict(pairs)
            if len(datasets) < len(pairs):
                raise WeightsError("weights of models within a model; expected those of layers")
            check_total(path, (dataset.shape for dataset in datasets.values()))
            return {name: plain(name, np.asarray(data)) for name, data in datasets.items()}
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(f"damaged or incomplete; download it again ({error})") from error


def _strange(file: h5py.File) -> str:
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        return "weights of Keras 3; give it a name that ends in .weights.h5"
    return (
        f"an HDF5 file of something else ({', '.join(map(repr, list(file)[:5])) or 'empty'}); "
        "expected the weights of layers, as `save_weights` of tf.keras writes them"
    )


def _datasets(root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer in _texts(root, "layer_names"):
        group = _own(root, layer)
        for name in _texts(group, "weight_names"):
            dataset = _own(group, name)
            if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
                raise WeightsError(ELSEWHERE.format(name))
            # The scope before the last part may be the layer's name, or that with a number.
            yield f"{layer}/{name.rpartition('/')[2].removesuffix(':0')}", dataset


def _texts(group: h5py.Group, name: str) -> list[str]:
    """A list in attributes, in several numbered ones where HDF5 has no room for it in one."""
    parts = [name] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    if not parts:
        raise KeyError(f"{group.name} has no {name}")
    texts = [text for part in parts for text in group.attrs[part]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _own(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What is in this file: HDF5 can name other files, whose numbers would be given away."""
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise WeightsError(ELSEWHERE.format(name))
        group = group[part]
    return group
