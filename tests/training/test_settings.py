import os
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated

import pytest

from keras_resnext.training import RECIPES, RunOptions, Settings, recipe, shortened

tyro = pytest.importorskip("tyro")
NOT_SMALL = {"small_sizes": (), "small_until": ()}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_toml_and_the_command_line(name, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(RECIPES[name].to_toml())
    assert recipe(str(path)) == recipe(name) == RECIPES[name]
    flat_options = Annotated[Settings, tyro.conf.OmitArgPrefixes]
    assert tyro.cli(flat_options, default=RECIPES[name], args=[]) == RECIPES[name]


def test_each_setting_has_a_name_of_its_own():
    parts = [part for part in vars(Settings()).values() if is_dataclass(part)]
    names = [field.name for part in parts for field in fields(part)]
    names += ["precision", "batch_norm", "seed", "deterministic"]
    assert sorted(names) == sorted(RECIPES["paper"].flat())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo = 1", "unknown setting 'foo'"),
        ("[augmentation]\nfoo = 1", "unknown setting 'augmentation.foo'"),
        ("[data]\nbatch_size = 0", "--batch-size: must be greater than or equal to 1, got 0"),
        ("[data]\nbatch_size = '3'", "--batch-size: must be a valid integer, got '3'"),
        ("seed = 4294967296", "--seed: must be less than 4294967296, got 4294967296"),
        ("[schedule]\nlearning_rate = nan", "--learning-rate: must be a finite number, got nan"),
        ("[schedule]\nmilestones = [3, 2]", "--milestones: must rise, got 3 2"),
        ("[schedule]\nmilestones = [0]", "--milestones: must be greater than or equal to 1, got 0"),
        ("[schedule]\nepochs = 1\nwarmup_epochs = 2", "--warmup-epochs: must be fewer than the e"),
        ("[optimizer]\nmomentum = 0", "--nesterov: needs a --momentum above 0"),
        ("[optimizer]\nfreeze_batch_norm = true", "--freeze-batch-norm: random weights have no"),
        ("[augmentation]\nerasing = 7.0", "--erasing: expected a probability"),
        ("[data]\nimage_size = 7", "--image-size: the images of demo have a size of their own"),
        ("nonsense", "Expected '='"),
    ],
)
def test_errors_name_the_option_and_the_value(text, message, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"settings file {path}: {message}")) as error:
        recipe(str(path))
    assert "\n" not in str(error.value)


def test_what_is_no_recipe_or_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"--recipe: must be one of quickstart, paper, .*'papre'"):
        recipe("papre")
    os.mkfifo(tmp_path / "settings.toml")  # reading it would wait for ever
    for name in ("settings.toml", "none.toml"):
        with pytest.raises(ValueError, match=f"{name}: there is no such file"):
            recipe(str(tmp_path / name))


def test_values_are_checked_from_python_too():
    with pytest.raises(ValueError, match=r"^--batch-size: must be greater than or equal to 1"):
        Settings().change(batch_size=-1)
    with pytest.raises(ValueError, match="unknown setting 'batchsize'"):
        Settings().change(batchsize=64)
    with pytest.raises(TypeError, match="1 positional argument"):
        RunOptions("runs")


def test_learning_rate_follows_the_images_per_update():
    settings = RECIPES["modern"].change(batch_size=256, accumulate_steps=2)
    assert settings.peak_learning_rate == pytest.approx(0.1 * 512 / 128)
    assert settings.change(base_batch_size=None).peak_learning_rate == 0.1


@pytest.mark.parametrize(
    ("name", "epochs", "expected", "words"),
    [
        ("quickstart", 1, {"warmup_epochs": 0.125}, "--warmup-epochs 0.125"),
        ("paper", 1, {"milestones": ()}, "no --milestones"),
        ("paper", 4, {"milestones": (2, 3)}, "--milestones 2 3"),
        ("grouped1x1", 100, {"milestones": (30, 60, 80), "warmup_epochs": 0.5}, "30 60 80"),
        ("modern", 1, {"warmup_epochs": 0.025}, "1 instead of 200 epochs: --warmup-epochs 0.025"),
        ("finetune", 2, {"warmup_epochs": 0.1, "frozen_epochs": 0.2}, "--frozen-epochs 0.2"),
        ("two-cores", 3, {"small_until": (1, 2), "warmup_epochs": 0.1}, "--small-until 1 2"),
        ("two-cores", 1, NOT_SMALL | {"warmup_epochs": 0.033333}, "no --small-sizes"),
        ("imagenet-modern", 60, {"small_until": (60,), "warmup_epochs": 0.5}, "--small-until 60"),
        ("quickstart", 9, {"warmup_epochs": 1.0, "epochs": 8}, ""),
    ],
)
def test_fewer_epochs_shorten_the_phases_of_a_recipe(name, epochs, expected, words):
    settings, sentence = shortened(RECIPES[name], epochs)
    assert settings == RECIPES[name].change(**{"epochs": epochs} | expected)
    assert words in sentence
    assert bool(sentence) == bool(words)


def test_digest_ignores_what_a_resumed_run_may_change():
    settings = RECIPES["paper"]
    assert settings.change(epochs=400, data_dir=Path("x")).digest() == settings.digest()
    assert settings.change(seed=1).digest() != settings.digest() != settings.digest("more")


@pytest.mark.parametrize("name", ["..", ".", ".x", "a/b", "a\nb", "<b>", "x ", "", "a" * 101, "$x"])
def test_run_names_that_are_none(name):
    with pytest.raises(ValueError, match=r"^--run-name: must be a plain name") as error:
        RunOptions(run_name=name)
    assert "\n" not in str(error.value)


def test_run_folder_and_options():
    assert RunOptions().folder("paper") == Path("runs/paper")
    options = RunOptions(output_dir=Path("out"), run_name="네트워크-1 a")
    assert options.folder("paper") == Path("out/네트워크-1 a")
    with pytest.raises(ValueError, match="--run-name: must be"):
        RunOptions().folder("$.toml")
    with pytest.raises(ValueError, match="--workers: must be"):
        RunOptions(workers=-1)
    with pytest.raises(ValueError, match="--use-multiprocessing: --workers 0 leaves none"):
        RunOptions(workers=0, use_multiprocessing=True)
