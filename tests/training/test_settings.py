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
        ({"warmup_epochs": 10}, r"warmup_epochs: expected 0 to fewer than epochs \(10\)"),
        ({"data_dir": Path("x")}, "data_dir: the demo set is made by code"),
        ({"cardinality": 0}, "cardinality: expected 1 or more, got 0"),
        ({"mixup": float("inf")}, "mixup: expected 0 or more, got inf"),
        ({"label_smoothing": 1.0}, "label_smoothing: expected 0 to less than 1, got 1.0"),
        ({"ema_decay": -0.1}, "ema_decay: expected 0 to less than 1, got -0.1"),
        ({"backbone_rate": 0.0}, "backbone_rate: expected over 0, to 1, got 0.0"),
        ({"layer_decay": 1.1}, "layer_decay: expected over 0, to 1, got 1.1"),
        ({"freeze_batch_norm": True}, "freeze_batch_norm: fresh statistics would stay"),
        ({"weights": 3}, "weights: expected text or nothing, got 3"),
        ({"erasing": 1.5}, "erasing: expected 0 to 1, got 1.5"),
        (
            {"weight_decay_kind": "decoupled", "ema_decay": 0.9},
            "weight_decay_kind: expected 'coupled', which ema_decay needs",
        ),
        ({"image_size": 64}, "image_size: the images of demo have their own, got 64"),
    ],
)
def test_names_the_setting_that_is_impossible(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Settings(epochs=10), **change)


def test_toml_holds_everything():
    settings = Settings(
        dataset="cifar100", data_dir=Path("a/b"), milestones=(2, 5), stem="cifar", seed=7
    )
    assert Settings.from_toml(settings.to_toml()) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown settings epoch; known are .*epochs"),
        ('epochs = "3"', "epochs: expected a whole number, got '3'"),
        ("[1]", "unknown settings 1"),
        ("{", "Invalid"),
        ("milestones = 3", "milestones: expected whole numbers, got 3"),
    ],
)
def test_file_errors_name_the_file(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"mine.toml.*{message}"):
        Settings.from_file(path)
