"""The data sets by name."""

import os

from keras_resnext.data.cifar100 import load_cifar100
from keras_resnext.data.dataset import Dataset
from keras_resnext.data.demo import load_demo

DATASETS: tuple[str, ...] = ("cifar100", "demo")


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load a data set with its split.

    Args:
        name: one of `DATASETS`: "cifar100", or "demo", a small set made by code.
        data_dir: for "cifar100" the official archive (python or binary), its unpacked folder, or
            the folder it lies in; None takes it from TensorFlow Datasets.

    Returns:
        The data set.

    Raises:
        ValueError: the name is unknown, or `data_dir` is given for "demo".
        DatasetError: (a ValueError) the data is not there, damaged or incomplete.
        ImportError: TensorFlow Datasets or what it needs is not installed.
    """
    if name == "cifar100":
        return load_cifar100(data_dir)
    if name != "demo":
        raise ValueError(f"name: expected one of {', '.join(DATASETS)}, got {name!r}")
    if data_dir is not None:
        raise ValueError(f"data_dir: 'demo' is made by code and reads none, got {data_dir!r}")
    return load_demo()
