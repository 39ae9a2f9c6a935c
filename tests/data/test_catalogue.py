import sys

import pytest

from keras_resnext.data import DATASETS, cifar100, load
from keras_resnext.preprocessing import Preprocessing, fitted
from tests.data.test_image_folder import write_classes


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="cifar100, demo, folder, got 'cifar10'"):
        load("cifar10")


def test_the_demo_reads_no_folder(tmp_path):
    with pytest.raises(ValueError, match="data_dir: 'demo' is made by code"):
        load("demo", tmp_path)


def test_a_folder_needs_a_path_and_a_size(tmp_path):
    with pytest.raises(ValueError, match="data_dir: 'folder' reads images of your own"):
        load("folder", image_size=224)
    with pytest.raises(ValueError, match="image_size: 'folder' needs the size"):
        load("folder", tmp_path)


@pytest.mark.parametrize("name", ["cifar100", "demo"])
@pytest.mark.parametrize("given", [{"image_size": 32}, {"preprocessing": fitted(32)}])
def test_only_a_folder_takes_a_size(name, given):
    (argument,) = given
    with pytest.raises(ValueError, match=f"{argument}: only 'folder' takes one.*'{name}'.*32"):
        load(name, **given)


def test_a_folder_by_size_or_by_preprocessing(tmp_path):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    assert load("folder", tmp_path, 8).preprocessing == fitted(8)
    preprocessing = Preprocessing(8, 9)
    assert load("folder", tmp_path, preprocessing=preprocessing).preprocessing == preprocessing
    with pytest.raises(ValueError, match=r"image_size: preprocessing has one, 8; .* got 9 too"):
        load("folder", tmp_path, 9, preprocessing)


def test_a_folder_says_that_it_needs_pillow(tmp_path, monkeypatch):
    for module in ("image_folder", "decoding"):
        monkeypatch.delitem(sys.modules, f"keras_resnext.data.{module}")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'needs pillow. Type: pip install "keras-resnext\[scri'):
        load("folder", tmp_path, 8)


def test_every_name_loads(cifar_folder, tmp_path):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    arguments = {"cifar100": (cifar_folder,), "folder": (tmp_path, 8)}
    for name in DATASETS:
        dataset = load(name, *arguments.get(name, ()))
        assert dataset.name == name


def test_without_a_folder_tensorflow_datasets_is_asked(monkeypatch):
    class AskedError(Exception):
        pass

    def ask():
        raise AskedError

    monkeypatch.setattr(cifar100, "read_tfds", ask)
    with pytest.raises(AskedError):
        load("cifar100")
