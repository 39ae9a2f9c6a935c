"""Parse the official CIFAR-100 files, python or binary."""

import hashlib
import os

import numpy as np

from keras_resnext.data import archive
from keras_resnext.data.dataset import DatasetError, Split
from keras_resnext.data.raw import Raw
from keras_resnext.data.unpickling import load_arrays

PYTHON_MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def read_official(path: str | os.PathLike) -> Raw:
    """Read the official archive or folder at `path`, or in it.

    Raises:
        DatasetError: it is not there, damaged, incomplete, or the python files are not the
            official ones. Binary files have no published checksum: check their content.
    """
    layout, files = archive.read_files(path)
    return _parse_python(files, path) if layout is archive.PYTHON else _parse_binary(files)


def _parse_python(files, path):
    # The first wall: no byte is unpickled unless the file is the official one.
    for name, expected in PYTHON_MD5.items():
        found = hashlib.md5(files[name], usedforsecurity=False).hexdigest()
        if found != expected:
            raise DatasetError(
                f"data_dir: {name} in {os.fspath(path)} is not the official file (MD5 {found}, "
                f"expected {expected}): damaged, or changed. Nothing of it was unpickled. Get the "
                f"archive from {archive.WEBSITE} again."
            )
    train, test, meta = (load_arrays(files[name]) for name in PYTHON_MD5)
    return Raw(
        _python_split(train),
        _python_split(test),
        *(
            tuple(name.decode() for name in meta[key])
            for key in (b"fine_label_names", b"coarse_label_names")
        ),
    )


def _python_split(content):
    return Split(
        _channels_last(content[b"data"]),
        np.array(content[b"fine_labels"], np.int32),
        np.array(content[b"coarse_labels"], np.int32),
    )


def _parse_binary(files):
    return Raw(
        _binary_split(files["train.bin"]),
        _binary_split(files["test.bin"]),
        *(
            tuple(files[name].decode(errors="replace").split())
            for name in ("fine_label_names.txt", "coarse_label_names.txt")
        ),
    )


def _binary_split(content):
    """Parse records of one coarse label, one fine label, and 3x32x32 pixels."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 2 + 3 * 32 * 32)
    return Split(
        _channels_last(records[:, 2:]),
        records[:, 1].astype(np.int32),
        records[:, 0].astype(np.int32),
    )


def _channels_last(pixels):
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
