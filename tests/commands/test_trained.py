from dataclasses import replace

import pytest

from keras_resnext.commands.trained import TrainedOptions
from keras_resnext.data.catalogue import load
from keras_resnext.preprocessing import Preprocessing, fitted
from keras_resnext.training.folder import write_description
from keras_resnext.training.trained import Trained
from tests.data.test_image_folder import write_classes
from tests.training.tiny import SETTINGS

PREPROCESSING = Preprocessing(8, 10, "bilinear", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))


@pytest.fixture
def trained(tmp_path):
    """What training on a folder leaves."""
    write_classes(tmp_path / "data", {"cat": 3, "dog": 3})
    settings = replace(SETTINGS, dataset="folder", data_dir=tmp_path / "data", image_size=8)
    write_description(tmp_path, load("folder", tmp_path / "data", preprocessing=PREPROCESSING))
    return Trained(tmp_path / "best.weights.h5", settings, tmp_path)


def test_images_of_a_folder_are_prepared_as_for_training(trained):
    assert TrainedOptions().load_dataset(trained).preprocessing == PREPROCESSING


def test_a_size_that_the_user_gives_goes_before(trained):
    assert TrainedOptions(image_size=9).load_dataset(trained).preprocessing == fitted(9)


def test_a_run_without_a_description_goes_by_its_settings(trained):
    (trained.folder / "dataset.json").unlink()
    assert TrainedOptions().load_dataset(trained).preprocessing == fitted(8)


def test_nothing_says_which(tmp_path):
    lone = Trained(tmp_path / "x.keras", None, tmp_path)
    with pytest.raises(ValueError, match=r"x\.keras does not say what it was trained on; give --d"):
        TrainedOptions().load_dataset(lone)
