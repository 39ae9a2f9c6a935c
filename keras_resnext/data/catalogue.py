"""The data sets by name."""

import os

from keras_resnext.data.cifar100 import load_cifar100
from keras_resnext.data.dataset import Dataset
from keras_resnext.data.demo import load_demo
from keras_resnext.preprocessing import Preprocessing, fitted

DATASETS: tuple[str, ...] = ("cifar100", "demo", "folder")


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Dataset:
    """Load a data set with its split.

    Args:
        name: one of `DATASETS`: "cifar100"; "demo", a small set made by code; or "folder", images
            of your own, as `load_image_folder` reads them.
        data_dir: for "cifar100" the official archive (python or binary), its unpacked folder, or
            the folder it lies in; None takes it from TensorFlow Datasets. For "folder" the folder
            that holds a folder of images for each class.
        image_size: for "folder" the height and width to bring its images to, in pixels, their
            shorter side all seen; None for the others.
        preprocessing: for "folder", instead of `image_size`, how to bring its images to it; None
            for the others.

    Returns:
        The data set.

    Raises:
        ValueError: the name is unknown, `data_dir` is given for "demo", or `data_dir` or
            the size is missing for "folder" or given twice, or one is given for another.
        DatasetError: (a ValueError) the data is not there, damaged or incomplete.
        ImportError: TensorFlow Datasets or what it needs, or Pillow, is not installed.
    """
    if name not in DATASETS:
        raise ValueError(f"name: expected one of {', '.join(DATASETS)}, got {name!r}")
    if name == "folder":
        return _load_folder(data_dir, image_size, preprocessing)
    for argument, value in (("image_size", image_size), ("preprocessing", preprocessing)):
        if value is not None:
            raise ValueError(
                f"{argument}: only 'folder' takes one, the images of {name!r} have their own size; "
                f"expected None, got {value!r}"
            )
    if name == "cifar100":
        return load_cifar100(data_dir)
    if data_dir is not None:
        raise ValueError(f"data_dir: 'demo' is made by code and reads none, got {data_dir!r}")
    return load_demo()


def _load_folder(
    data_dir: str | os.PathLike | None, image_size: int | None, preprocessing: Preprocessing | None
) -> Dataset:
    if data_dir is None:
        raise ValueError("data_dir: 'folder' reads images of your own; expected their folder")
    if preprocessing is None:
        if image_size is None:
            raise ValueError(
                "image_size: 'folder' needs the size to bring its images to, in pixels, such as 224"
            )
        preprocessing = fitted(image_size)
    elif image_size is not None:
        raise ValueError(
            f"image_size: preprocessing has one, {preprocessing.image_size}; expected one of the "
            f"two, got {image_size} too"
        )
    from keras_resnext.data.image_folder import load_image_folder  # needs Pillow

    return load_image_folder(data_dir, preprocessing)
