"""What is known of the data set of a trained network, without loading it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.data import Dataset, Split
from keras_resnext.imagenet_classes import imagenet_class_names
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.training.folder import DATASET_FILE
from keras_resnext.training.trained import Trained


def describe(trained: Trained) -> Dataset | None:
    """What it was trained on, with no images in it.

    Args:
        trained: what `find_trained` found.

    Returns:
        Of published weights ImageNet; of a run what its `dataset.json` says; None where there is
        none.

    Raises:
        ValueError: the file cannot be read.
    """
    if trained.preset:
        return _empty("imagenet", imagenet_class_names(), trained.preset.preprocessing)
    return read_description(trained.folder)


def read_description(folder: Path) -> Dataset | None:
    """Read `dataset.json`.

    Args:
        folder: of a run.

    Returns:
        The data set, with no images in it; None where the folder has no such file.

    Raises:
        ValueError: the file does not hold what `training.folder.write_description` writes.
    """
    path = folder / DATASET_FILE
    if not path.is_file():
        return None
    try:
        return _dataset(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path} cannot be read: {reason}; delete it, and the data set is loaded instead"
        ) from error


def _dataset(values: dict[str, Any]) -> Dataset:
    shape = values["input_shape"]
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
        raise ValueError(f"input_shape: expected [size, size, 3], got {shape}")
    preprocessing = Preprocessing.from_dict(
        {
            "image_size": shape[0],
            # Older runs name neither, and all were so.
            "resize_size": values.get("resize_size", shape[0]),
            "interpolation": values.get("interpolation", "bicubic"),
            "mean": values["mean"],
            "std": values["std"],
        }
    )
    names = tuple(values["class_names"])
    if len(names) < 2 or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError("class_names: expected a list of two printable names or more")
    return _empty(str(values["name"]), names, preprocessing)


def _empty(name: str, class_names: tuple[str, ...], preprocessing: Preprocessing) -> Dataset:
    size, labels = preprocessing.image_size, np.zeros(0, np.int32)
    none = Split(np.zeros((0, size, size, 3), np.uint8), labels, labels)
    return Dataset(name, none, none, none, class_names, class_names, preprocessing)
