"""CIFAR-100 by TensorFlow Datasets: from its prepared data where there, else by download."""

import importlib

import keras
import numpy as np

from keras_resnext.data.archive import WEBSITE
from keras_resnext.data.dataset import DatasetError, Split
from keras_resnext.data.network import why_unreachable
from keras_resnext.data.raw import Raw

DOWNLOAD_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
PROBE_SECONDS = 5.0
RANDOM_ACCESS = "array_record"


def read_tfds() -> Raw:
    """Read CIFAR-100 from where TensorFlow Datasets keeps its data (`TFDS_DATA_DIR`).

    What is prepared there is read as it is: in a random-access format without TensorFlow, in
    tfrecord files with it. Otherwise it is downloaded and prepared, which needs TensorFlow. Without
    network, TensorFlow Datasets would try for minutes: the network is asked first, for seconds.

    Raises:
        DatasetError: nothing is prepared and the download server cannot be reached.
        ImportError: a package is missing; the message names the extra.
    """
    tfds = _require("tensorflow_datasets", "tfds")
    builder = tfds.builder("cifar100")
    if not builder.is_prepared():
        builder = _prepare(tfds)
    formats = {file_format.value for file_format in builder.info.available_file_formats()}
    read = _with_pillow if RANDOM_ACCESS in formats else _with_tensorflow
    train, test = (read(builder, split) for split in ("train", "test"))
    features = builder.info.features
    return Raw(train, test, tuple(features["label"].names), tuple(features["coarse_label"].names))


def _require(module: str, extra: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"CIFAR-100 by TensorFlow Datasets needs {module} ({error}): "
            f'pip install "keras-resnext[{extra}]". Or get the official archive from {WEBSITE} '
            "and pass it as data_dir (--data-dir), which needs neither."
        ) from error


def _prepare(tfds):
    reason = why_unreachable(DOWNLOAD_URL, PROBE_SECONDS)
    builder = tfds.builder("cifar100", file_format=RANDOM_ACCESS)
    if reason:
        raise DatasetError(
            f"data_dir: none given, TensorFlow Datasets holds no CIFAR-100 in {builder.data_path}, "
            f"and {DOWNLOAD_URL} cannot be reached ({reason}). On a machine with network get "
            f"cifar-100-python.tar.gz or cifar-100-binary.tar.gz from {WEBSITE}, put it anywhere "
            "here and pass it as data_dir (--data-dir)."
        )
    _require("tensorflow", "tfds,tensorflow")
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)
    return builder


def _with_pillow(builder, split):
    _require("PIL", "tfds")
    return _collect(builder.as_data_source(split))


def _with_tensorflow(builder, split):
    tensorflow = _require("tensorflow", "tfds,tensorflow")
    tfds = _require("tensorflow_datasets", "tfds")
    if keras.backend.backend() != "tensorflow":
        # TensorFlow would reserve the accelerator's memory, which the backend needs.
        tensorflow.config.set_visible_devices([], "GPU")
    return _collect(tfds.as_numpy(builder.as_dataset(split)))


def _collect(examples):
    images, labels, superclass_labels = zip(
        *((example["image"], example["label"], example["coarse_label"]) for example in examples),
        strict=True,
    )
    return Split(
        np.stack(images), np.array(labels, np.int32), np.array(superclass_labels, np.int32)
    )
