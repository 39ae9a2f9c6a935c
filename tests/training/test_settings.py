import dataclasses
from pathlib import Path

import pytest

from keras_resnext.training.settings import Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: expected 1 or more, got 0"),
        ({"batch_size": 1.5}, "batch_size: expected a whole number, got 1.5"),
        ({"flip": "yes"}, "flip: expected true or false, got 'yes'"),
        ({"model": "resnext51"}, "model: expected one of resnext11, .*, got 'resnext51'"),
        ({"learning_rate": 0.0}, "learning_rate: expected more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected more than 0, got nan"),
        ({"momentum": 1.0}, "momentum: expected 0 to less than 1"),
        ({"momentum": 0.0}, "nesterov: needs a momentum above 0"),
        ({"milestones": (5, 3)}, r"milestones: expected rising epochs.*\(5, 3\)"),
        ({"milestones": (0, 3)}, "milestones: expected rising epochs"),
        ({"warmup_epochs": 10}, r"warmup_epochs: expected fewer than epochs \(10\)"),
        ({"data_dir": Path("x")}, "data_dir: the demo set is made by code"),
        ({"cardinality": 0}, "cardinality: expected 1 or more, got 0"),
    ],
)
def test_names_the_setting_that_is_impossible(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Settings(epochs=10), **change)


def test_json_holds_everything():
    settings = Settings(
        dataset="cifar100", data_dir=Path("a/b"), milestones=(2, 5), stem="cifar", seed=7
    )
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epoch": 3}', "unknown settings epoch; known are .*epochs"),
        ('{"epochs": "3"}', "epochs: expected a whole number, got '3'"),
        ("[1]", "expected a JSON object, got list"),
        ("{", "Expecting property name"),
        ('{"milestones": 3}', "not iterable"),
    ],
)
def test_file_errors_name_the_file(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"mine.json.*{message}"):
        Settings.from_file(path)
