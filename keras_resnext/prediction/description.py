"""What a run tells of its data set, read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.data import Dataset, Split
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.training.folder import DATASET_FILE


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
            # Runs of version 0.1 name neither, and were this.
            "resize_size": values.get("resize_size", shape[0]),
            "interpolation": values.get("interpolation", "bicubic"),
            "mean": values["mean"],
            "std": values["std"],
        }
    )
    names = tuple(values["class_names"])
    if len(names) < 2 or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError("class_names: expected a list of two printable names or more")
    labels = np.zeros(0, np.int32)
    none = Split(np.zeros((0, *shape), np.uint8), labels, labels)
    return Dataset(str(values["name"]), none, none, none, names, names, preprocessing)
