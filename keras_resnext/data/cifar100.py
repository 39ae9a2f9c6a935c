"""CIFAR-100 from any of its sources, always in the same order with the same split."""

import hashlib
import os
from dataclasses import dataclass

import numpy as np

from keras_resnext.data import archive, tfds_source
from keras_resnext.data.canonical import digest, sort_by_content, stratified_holdout
from keras_resnext.data.dataset import RGB, Dataset, DatasetError, Split
from keras_resnext.data.unpickling import load_arrays

MEAN: RGB = (129.3, 124.1, 112.4)
STD: RGB = (68.2, 65.4, 70.4)
VALIDATION_PER_CLASS = 50
SPLIT_SEED = 0

PYTHON_MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
# Of the samples and names in the official Python files, by `digest` and `names_digest`.
CONTENT_SHA256 = {
    "training images": "8b78534c169ba647a334bdc556b42932a7b2219d3bc58bf9528d8473fa89acfd",
    "test images": "076b77083eb03377c71c2e7726a5fd876b327ebe4a6290709d39dcc3c9a2789c",
    "names": "7f2db07db725d79f93555bfe97a424360a2c80ba4792e4b5b26e20eedd9bd8c5",
}


@dataclass(frozen=True)
class Raw:
    """What a source gives: everything, in the source's order."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
    superclass_names: tuple[str, ...]


def load_cifar100(data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images, 32x32.

    Images are sorted by their content and checked against the SHA-256 of the official set, so that
    split and batches are the same whatever the source. The validation part is 50 training images a
    class, chosen once by a fixed seed that has nothing to do with the seed of training.

    The official training set holds 14 images twice, 9 of these with two different labels; none is
    in the validation part, so no image is in both. The test set holds 2 twice, and 10 test images
    are training images too: left as they are, since published numbers include them.

    Args:
        data_dir: an official archive (python or binary), its unpacked folder, or the folder it
            lies in; None: by TensorFlow Datasets.

    Returns:
        The data set; `mean` and `std` are those of the ResNeXt authors' code.

    Raises:
        DatasetError: the data is not there, damaged, incomplete or of another data set.
        ImportError: TensorFlow Datasets or what it needs is not installed.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, 2009).
    """
    raw = _from_tfds() if data_dir is None else _from_files(data_dir)
    source = "TensorFlow Datasets" if data_dir is None else os.fspath(data_dir)
    training, training_keys = sort_by_content(raw.train)
    test, test_keys = sort_by_content(raw.test)
    found = {
        "training images": digest(training_keys),
        "test images": digest(test_keys),
        "names": names_digest(raw.class_names, raw.superclass_names),
    }
    for what, expected in CONTENT_SHA256.items():
        if found[what] != expected:
            raise DatasetError(
                f"data_dir: the {what} from {source} are not those of CIFAR-100 (SHA-256 of the "
                f"content {found[what]}, expected {expected}): damaged, or changed. Get the "
                f"official archive from {archive.WEBSITE} and pass it as data_dir."
            )
    train, validation = stratified_holdout(
        training, training_keys, VALIDATION_PER_CLASS, SPLIT_SEED
    )
    return Dataset(
        name="cifar100",
        train=train,
        validation=validation,
        test=test,
        class_names=raw.class_names,
        superclass_names=raw.superclass_names,
        mean=MEAN,
        std=STD,
    )


def names_digest(class_names: tuple[str, ...], superclass_names: tuple[str, ...]) -> str:
    """SHA-256, in hexadecimal, of the names in their order."""
    return hashlib.sha256("\n".join((*class_names, "", *superclass_names)).encode()).hexdigest()


def _from_tfds() -> Raw:
    return Raw(*tfds_source.read_cifar100())


def _from_files(path) -> Raw:
    layout, files = archive.read_files(path)
    return _parse_python(files, path) if layout is archive.PYTHON else _parse_binary(files)


def _parse_python(files: dict[str, bytes], path) -> Raw:
    # The first wall: no byte is unpickled unless the file is the official one.
    for name, expected in PYTHON_MD5.items():
        found = hashlib.md5(files[name], usedforsecurity=False).hexdigest()
        if found != expected:
            raise DatasetError(
                f"data_dir: {name} in {os.fspath(path)} is not the official file (MD5 {found}, "
                f"expected {expected}): damaged, or changed. It was not opened. Get the archive "
                f"from {archive.WEBSITE} again."
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


def _python_split(content) -> Split:
    return Split(
        _channels_last(content[b"data"]),
        np.array(content[b"fine_labels"], np.int32),
        np.array(content[b"coarse_labels"], np.int32),
    )


def _parse_binary(files: dict[str, bytes]) -> Raw:
    return Raw(
        _binary_split(files["train.bin"]),
        _binary_split(files["test.bin"]),
        *(
            tuple(files[name].decode(errors="replace").split())
            for name in ("fine_label_names.txt", "coarse_label_names.txt")
        ),
    )


def _binary_split(content: bytes) -> Split:
    records = np.frombuffer(content, np.uint8).reshape(-1, 2 + 3 * 32 * 32)
    return Split(
        _channels_last(records[:, 2:]),
        records[:, 1].astype(np.int32),
        records[:, 0].astype(np.int32),
    )


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
