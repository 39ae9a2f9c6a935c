import shutil

import numpy as np
import pytest

from keras_resnext.data import DatasetError
from keras_resnext.data.imagenet_folder import load_imagenet_folder
from keras_resnext.imagenet_classes import imagenet_class_names
from keras_resnext.preprocessing import fitted
from tests.data.test_image_folder import numbers, write_classes

LABELS = {"n01440764": 0, "n02012849": 134, "n15075141": 999}


def test_labels_are_those_of_imagenet(tmp_path):
    write_classes(tmp_path, dict.fromkeys(LABELS, 2))
    shutil.copy(tmp_path / "n01440764/0.png", tmp_path / "n01440764/copy.png")
    dataset = load_imagenet_folder(tmp_path, fitted(4))
    assert dataset.class_names == dataset.superclass_names == imagenet_class_names()
    assert (len(dataset.train), len(dataset.validation)) == (0, 0)
    assert dataset.input_shape == (4, 4, 3)
    found = sorted(zip(numbers(dataset.test), dataset.test.labels.tolist(), strict=True))
    assert found == [(0, 0), (0, 0), (1, 0), (2, 134), (3, 134), (4, 999), (5, 999)]
    np.testing.assert_array_equal(dataset.test.labels, dataset.test.superclass_labels)


def test_damaged_files_are_left_out_and_told(tmp_path, capsys):
    write_classes(tmp_path, dict.fromkeys(LABELS, 1))
    path = tmp_path / "n02012849/1.png"
    path.write_bytes(path.read_bytes()[:45])
    dataset = load_imagenet_folder(tmp_path, fitted(4))
    assert sorted(dataset.test.labels.tolist()) == [0, 999]
    assert "'n02012849/1.png': " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"n01440764": 1, "cat": 1}, "folders of no ImageNet class, cat; expected FOLDER/WORDNET"),
        ({"n01440764": 0}, "holds no images; expected FOLDER/WORDNET_ID/IMAGE"),
        ({}, "holds no images"),
        (None, "does not exist or is no folder"),
    ],
)
def test_another_layout_is_refused(tmp_path, layout, message):
    folder = tmp_path / "val"
    if layout is not None:
        folder.mkdir()
        write_classes(folder, layout)
    with pytest.raises(DatasetError, match=f"^data_dir: .*{message}"):
        load_imagenet_folder(folder, fitted(4))
