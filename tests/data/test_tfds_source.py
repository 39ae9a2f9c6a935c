import functools
import sys
from unittest import mock

import numpy as np
import pytest

from keras_resnext.data import DatasetError, load, tfds_source
from keras_resnext.data.raw import Raw
from tests.data.conftest import random_split, write_binary

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder in which TensorFlow Datasets keeps its data."""
    home = tmp_path / "tensorflow_datasets"
    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=home))
    return home


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(tfds_source, "why_unreachable", lambda *_: None)


@pytest.fixture
def download(tmp_path, monkeypatch):
    """Let TensorFlow Datasets find a small binary archive where it would download the real."""
    names = (
        tuple(f"class {i}".replace(" ", "_") for i in range(100)),
        tuple(f"group_{i}" for i in range(20)),
    )
    raw = Raw(random_split(9, size=32, seed=1), random_split(5, size=32, seed=2), *names)
    write_binary(raw, tmp_path / "cifar-100-binary")
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download_and_extract", lambda *_: str(tmp_path)
    )
    return raw


def assert_same_set(found, expected):
    def samples(split):
        return sorted(
            (image.tobytes(), int(label), int(coarse))
            for image, label, coarse in zip(
                split.images, split.labels, split.superclass_labels, strict=True
            )
        )

    assert samples(found.train) == samples(expected.train)
    assert samples(found.test) == samples(expected.test)
    assert found.class_names == expected.class_names
    assert found.superclass_names == expected.superclass_names


def test_it_is_prepared_once_and_then_read_without_network(home, download, online, monkeypatch):
    assert_same_set(tfds_source.read_tfds(), download)
    monkeypatch.setattr(tfds_source, "why_unreachable", lambda *_: "offline")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # not needed for what is prepared
    assert_same_set(tfds_source.read_tfds(), download)


def test_tfrecord_files_prepared_by_others_are_read(home, download):
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    tfds.builder("cifar100").download_and_prepare(download_config=config)
    assert_same_set(tfds_source.read_tfds(), download)


def test_mocked_data_is_read(home, online):
    with tfds.testing.mock_data(num_examples=7):
        raw = tfds_source.read_tfds()
    assert raw.train.images.shape == (7, 32, 32, 3)
    assert raw.train.labels.max() < 100
    assert raw.train.superclass_labels.max() < 20
    assert np.unique(raw.train.images).size > 100


def test_what_is_not_cifar100_is_refused(home, online):
    with (
        tfds.testing.mock_data(num_examples=7),
        pytest.raises(DatasetError, match="from TensorFlow Datasets are not those of CIFAR-100"),
    ):
        load("cifar100")


def test_offline_it_says_what_to_do_and_tries_nothing(home, monkeypatch):
    monkeypatch.setattr(tfds_source, "why_unreachable", lambda *_: "no route to host")
    builder = tfds.core.DatasetBuilder
    with (
        mock.patch.object(builder, "download_and_prepare", side_effect=AssertionError),
        pytest.raises(DatasetError) as error,
    ):
        load("cifar100")
    for part in ("no route to host", str(home), "cifar-100-python.tar.gz", "--data-dir"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("module", "extra"), [("tensorflow_datasets", "tfds"), ("tensorflow", "tfds,tensorflow")]
)
def test_a_missing_package_is_named_with_its_extra(home, online, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module}.*pip install "keras-resnext\[{extra}\]"'):
        load("cifar100")
