"""CIFAR-100 from the official python archive or by TensorFlow Datasets, in one order and split."""

import hashlib
import io
import os
import pickle
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import suppress
from lzma import LZMAError
from pathlib import Path, PurePosixPath

import keras
import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split, ranked, sort_by_content
from keras_resnext.files import users_path
from keras_resnext.preprocessing import RGB, whole_image

MEAN: RGB = (129.3, 124.1, 112.4)
STD: RGB = (68.2, 65.4, 70.4)
VALIDATION_PER_CLASS = 50

NAME = "cifar-100-python"
SERVER = "https://www.cs.toronto.edu/~kriz/cifar.html"
ADVICE = f"Get {NAME}.tar.gz from {SERVER} and pass it, or where it lies, as data_dir (--data-dir)."
FILES = ("train", "test", "meta")
LARGEST = 2**28  # bytes; the largest of the official files has 155 MB
# SHA-256 of what the official files hold: of the sorted samples, and of the names.
CONTENT = {
    "training images": "8b78534c169ba647a334bdc556b42932a7b2219d3bc58bf9528d8473fa89acfd",
    "test images": "076b77083eb03377c71c2e7726a5fd876b327ebe4a6290709d39dcc3c9a2789c",
    "names": "7f2db07db725d79f93555bfe97a424360a2c80ba4792e4b5b26e20eedd9bd8c5",
}

Source = tuple[Split, Split, tuple[str, ...], tuple[str, ...]]  # the names of both kinds of class


def load_cifar100(data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images, 32x32.

    Images are sorted by their content and checked against the SHA-256 of the official set, so that
    split and batches are the same whatever the source. The validation part is 50 training images
    per class, chosen by a fixed seed, none of those 14 that the set holds twice. That 10 test
    images are training images too is left as it is: published accuracies include them.

    Args:
        data_dir: the official python archive (of any compression), its unpacked folder, or the
            folder it lies in; None: by TensorFlow Datasets.

    Raises:
        DatasetError: the data is not there, damaged, incomplete or of another data set.
        ImportError: TensorFlow Datasets or what it needs is not installed.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, 2009).
    """
    source = read_tfds() if data_dir is None else read_official(users_path(data_dir))
    training, test, class_names, superclass_names = source
    training, keys = sort_by_content(training)
    test, test_keys = sort_by_content(test)
    contents = {
        "training images": b"".join(keys),
        "test images": b"".join(test_keys),
        "names": "\n".join((*class_names, "", *superclass_names)).encode(),
    }
    for what, content in contents.items():
        if (found := hashlib.sha256(content).hexdigest()) != CONTENT[what]:
            raise DatasetError(
                f"data_dir: the {what} from {data_dir or 'TensorFlow Datasets'} are not those of "
                f"CIFAR-100 (SHA-256 {found}, expected {CONTENT[what]}). {ADVICE}"
            )
    chosen = [rows[:VALIDATION_PER_CLASS] for rows in ranked(keys, training.labels).values()]
    held_out = np.sort(np.concatenate(chosen))
    train = training.take(np.setdiff1d(np.arange(len(training)), held_out))
    parts = train, training.take(held_out), test
    return Dataset("cifar100", *parts, class_names, superclass_names, whole_image(32, MEAN, STD))


def read_official(path: Path) -> Source:
    """Read the official python files from an archive, its unpacked folder, or the folder of it."""
    contents = dict(_files(path))
    if missing := [name for name in FILES if name not in contents]:
        raise DatasetError(f"data_dir: {path} lacks {', '.join(missing)} of {NAME}. {ADVICE}")
    keys = b"data", b"fine_labels", b"coarse_labels"
    try:
        *arrays, meta = (
            _ArrayUnpickler(io.BytesIO(contents[name]), encoding="bytes").load() for name in FILES
        )
        train, test = (_split(*(part[key] for key in keys)) for part in arrays)
        names = (meta[key] for key in (b"fine_label_names", b"coarse_label_names"))
        classes, superclasses = (tuple(name.decode() for name in each) for each in names)
    except Exception as error:  # a damaged pickle raises nearly any
        raise DatasetError(
            f"data_dir: {path} does not hold the official files: {error!r}. {ADVICE}"
        ) from error
    return train, test, classes, superclasses


def _split(images, *labels) -> Split:
    if images.ndim == 2:  # the official files have one row per image, channels first
        images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), *(np.array(each, np.int32) for each in labels))


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read those of `FILES` that `path` holds."""
    for folder in (path / NAME, path):
        if found := [name for name in FILES if (folder / name).is_file()]:
            for name in found:
                with open(folder / name, "rb") as file:
                    yield name, file.read(LARGEST)
            return
    archives = [path] if not path.is_dir() else sorted(path.glob(f"{NAME}.tar*"))
    # A pipe would be waited for, without end: regular files only.
    archive = next((each for each in archives if each.is_file()), None)
    if archive is None:
        what = "holds no CIFAR-100" if path.is_dir() else "is no archive and no folder"
        what = what if path.exists() else "does not exist"
        raise DatasetError(f"data_dir: {path} {what}. {ADVICE}")
    try:
        # Members are read into memory, never extracted: links and paths out of it lead nowhere.
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                inside = PurePosixPath(member.name)
                known = inside.name in FILES and str(inside.parent) in (NAME, ".")
                if member.isreg() and known and (content := tar.extractfile(member)):
                    yield inside.name, content.read(LARGEST)
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as error:
        raise DatasetError(
            f"data_dir: {archive} is damaged, incomplete or no tar archive ({error}). {ADVICE}"
        ) from error


# The three globals of the official files, under the names they were pickled with.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.ndarray(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes plain values and NumPy arrays; anything else is a pickle.UnpicklingError."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")
        return _ALLOWED[module, name]


def read_tfds() -> Source:
    """Read CIFAR-100 by TensorFlow Datasets, which downloads it once and keeps it prepared."""
    try:
        import tensorflow
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"CIFAR-100 by TensorFlow Datasets needs {error.name}. Type: pip install "
            f'"keras-resnext[tfds,tensorflow]". Or, without it: {ADVICE}'
        ) from error
    if keras.backend.backend() != "tensorflow":
        with suppress(RuntimeError):  # the accelerator's memory is the backend's
            tensorflow.config.set_visible_devices([], "GPU")
    builder = tfds.builder("cifar100")
    if not builder.is_prepared():
        try:  # TensorFlow Datasets would try for minutes
            urllib.request.urlopen(SERVER, timeout=5).close()
        except OSError as error:
            raise DatasetError(
                f"data_dir: none given, and TensorFlow Datasets can neither find CIFAR-100 in "
                f"{builder.data_path} nor reach {SERVER} ({error}). {ADVICE}"
            ) from error
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    parts = tfds.as_numpy(builder.as_dataset(batch_size=-1))
    keys = "image", "label", "coarse_label"
    train, test = (_split(*(parts[part][key] for key in keys)) for part in ("train", "test"))
    classes, superclasses = (tuple(builder.info.features[key].names) for key in keys[1:])
    return train, test, classes, superclasses
