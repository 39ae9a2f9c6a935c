import json
from dataclasses import replace

import pytest

from keras_resnext.prediction.description import read_description
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.training.folder import DATASET_FILE, write_description
from tests.training.tiny import tiny_demo


def test_reads_what_a_run_writes(tmp_path):
    preprocessing = Preprocessing(32, 36, "bilinear", (1.5, 2, 3), (4, 5, 6))
    dataset = replace(tiny_demo("demo"), preprocessing=preprocessing)
    write_description(tmp_path, dataset)
    read = read_description(tmp_path)
    for name in ("name", "class_names", "num_classes", "input_shape", "preprocessing"):
        assert getattr(read, name) == getattr(dataset, name)
    assert len(read.train) == 0


def test_reads_what_older_versions_wrote(tmp_path):
    """Without `resize_size` and `interpolation`."""
    values = {"name": "demo", "class_names": ["a", "b"], "input_shape": [8, 8, 3]}
    colours = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    (tmp_path / DATASET_FILE).write_text(json.dumps(values | colours))
    expected = Preprocessing(8, 8, "bicubic", (1, 2, 3), (4, 5, 6))
    assert read_description(tmp_path).preprocessing == expected


def test_a_folder_without(tmp_path):
    assert read_description(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "'mean' is missing"),
        ({"mean": [1, 2]}, "mean: expected three numbers"),
        ({"mean": [1, 2, "nan"]}, "mean: expected three numbers"),
        ({"std": [1, 2, 0]}, "std: expected numbers above 0"),
        ({"input_shape": [32, 32, 1]}, r"input_shape: expected \[size, size, 3\]"),
        ({"input_shape": [32, 33, 3]}, "input_shape"),
        ({"input_shape": [-1, -1, 3]}, "image_size: expected a whole number of pixels >= 1"),
        ({"resize_size": 31}, "resize_size: expected a whole number of pixels >= 32, got 31"),
        ({"interpolation": "nearest"}, "interpolation: expected one of"),
        ({"class_names": ["a"]}, "class_names: expected a list of two printable names"),
        ({"class_names": ["a", 1]}, "class_names"),
        ({"class_names": ["a", "\x1b[2J"]}, "class_names"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    write_description(tmp_path, tiny_demo("demo"))
    path = tmp_path / DATASET_FILE
    values = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    with pytest.raises(ValueError, match=rf"dataset\.json cannot be read: .*{message}.*delete it"):
        read_description(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\x80\x04"])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / DATASET_FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r"dataset\.json cannot be read"):
        read_description(tmp_path)
