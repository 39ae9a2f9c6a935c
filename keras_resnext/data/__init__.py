"""Data sets, augmentation and the loader that feeds them to Keras."""

import os
from collections.abc import Sequence
from typing import Literal, get_args

from keras_resnext.data.augmentation import Augmentation
from keras_resnext.data.batches import Batches, SharedEvaluation
from keras_resnext.data.cifar100 import load_cifar100
from keras_resnext.data.dataset import Dataset, DatasetError, Split, safe_name, write_examples
from keras_resnext.data.decoding import ImageFiles, decode_files, image_to_square
from keras_resnext.data.demo import load_demo
from keras_resnext.data.image_folder import find_images, load_image_folder
from keras_resnext.data.imagenet import load_imagenet
from keras_resnext.preprocessing import Preprocessing

DatasetName = Literal["cifar100", "demo", "folder", "imagenet"]

__all__ = [
    "Augmentation",
    "Batches",
    "Dataset",
    "DatasetError",
    "DatasetName",
    "ImageFiles",
    "SharedEvaluation",
    "Split",
    "decode_files",
    "find_images",
    "image_to_square",
    "load_dataset",
    "safe_name",
    "write_examples",
]


def load_dataset(
    name: str,
    data_dir: str | os.PathLike | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Load a data set with its split.

    Args:
        name: "cifar100"; "demo", a small synthetic set; "folder", images of your own; or
            "imagenet".
        data_dir: as of `load_cifar100`, `load_image_folder` or `load_imagenet`.
        preprocessing: for "folder" and "imagenet", how to bring images to one size.
        class_names: for "imagenet", as of `load_imagenet`.

    Raises:
        ValueError: the name is unknown, or an argument is missing, or given where none is taken.
        DatasetError: (a ValueError) the data is not there, damaged or incomplete.
        ImportError: TensorFlow Datasets or what it needs, or Pillow, is not installed.
    """
    if name not in (known := get_args(DatasetName)):
        raise ValueError(f"dataset: expected one of {', '.join(known)}, got {name!r}")
    if name in ("cifar100", "demo"):
        if preprocessing is not None:
            raise ValueError(f"preprocessing: {name!r} has its own; expected None")
        if name == "cifar100":
            return load_cifar100(data_dir)
        if data_dir is not None:
            raise ValueError(f"data_dir: 'demo' is synthetic and reads none, got {data_dir!r}")
        return load_demo()
    if data_dir is None:
        raise ValueError(f"data_dir: {name!r} reads image files; give their folder (--data-dir)")
    if preprocessing is None:
        raise ValueError(
            f"preprocessing: expected how to resize, whole_image(224) for {name!r}; of a run, name "
            "the folder instead of a file, and it is known"
        )
    if name == "imagenet":
        return load_imagenet(data_dir, preprocessing, class_names)
    return load_image_folder(data_dir, preprocessing)
