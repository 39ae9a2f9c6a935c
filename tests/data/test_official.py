import hashlib
import pickle

import numpy as np
import pytest

from keras_resnext.data import DatasetError, official
from keras_resnext.data.archive import BINARY, PYTHON
from tests.data.conftest import random_split, write_binary
from tests.data.test_unpickling import Touch


@pytest.fixture
def crafted(tmp_path, monkeypatch):
    """A folder whose every file would run code, of the sizes expected; and the file it makes."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    victim = tmp_path / "made"
    content = pickle.dumps(Touch(victim))
    for name in PYTHON.sizes:
        (folder / name).write_bytes(content)
        monkeypatch.setitem(PYTHON.sizes, name, len(content))
    return folder, victim, content


def test_first_wall_nothing_unofficial_is_unpickled(crafted, monkeypatch):
    folder, victim, _ = crafted
    monkeypatch.setattr(official, "load_arrays", pickle.loads)
    with pytest.raises(DatasetError, match=r"train in .* is not the official file"):
        official.read_official(folder)
    assert not victim.exists()


def test_second_wall_holds_even_where_the_checksum_agrees(crafted, monkeypatch):
    folder, victim, content = crafted
    checksum = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(official, "PYTHON_MD5", dict.fromkeys(PYTHON.sizes, checksum))
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        official.read_official(folder)
    assert not victim.exists()


def test_binary_records(tmp_path, monkeypatch):
    train, test = random_split(5, size=32, seed=1), random_split(3, size=32, seed=2)
    names = tuple("abcd"), tuple("xy")
    folder = write_binary(official.Raw(train, test, *names), tmp_path / "cifar-100-binary")
    for name in ("train.bin", "test.bin"):
        monkeypatch.setitem(BINARY.sizes, name, (folder / name).stat().st_size)
    raw = official.read_official(folder)
    assert (raw.class_names, raw.superclass_names) == names
    for found, expected in ((raw.train, train), (raw.test, test)):
        np.testing.assert_array_equal(found.images, expected.images)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.superclass_labels, expected.superclass_labels)


def test_the_official_python_files(raw):
    assert raw.train.images.shape == (50_000, 32, 32, 3)
    assert raw.test.images.shape == (10_000, 32, 32, 3)
    assert raw.class_names[raw.train.labels[0]] == "cattle"
    assert raw.superclass_names[raw.train.superclass_labels[0]] == "large_omnivores_and_herbivores"
    np.testing.assert_allclose(raw.train.images.mean(axis=(0, 1, 2)), [129.3, 124.1, 112.4], 1e-3)
