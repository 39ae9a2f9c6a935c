import pytest

from keras_resnext.data import DATASETS, cifar100, load


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match="cifar100, demo, got 'cifar10'"):
        load("cifar10")


def test_the_demo_reads_no_folder(tmp_path):
    with pytest.raises(ValueError, match="data_dir: 'demo' is made by code"):
        load("demo", tmp_path)


def test_every_name_loads(cifar_folder):
    for name in DATASETS:
        dataset = load(name, cifar_folder if name == "cifar100" else None)
        assert dataset.name == name


def test_without_a_folder_tensorflow_datasets_is_asked(monkeypatch):
    class AskedError(Exception):
        pass

    def ask():
        raise AskedError

    monkeypatch.setattr(cifar100, "read_tfds", ask)
    with pytest.raises(AskedError):
        load("cifar100")
