from dataclasses import replace

from keras_resnext.training.notices import notices
from keras_resnext.training.recipes import RECIPES


def test_recipes_as_they_are_need_no_word():
    assert not [text for settings in RECIPES.values() for text in notices(settings)]


def test_says_what_the_learning_rate_becomes():
    settings = replace(RECIPES["modern"], batch_size=512, accumulate_steps=2)
    assert settings.peak_learning_rate == 0.1 * 1024 / 128
    assert notices(settings) == ["learning_rate: 0.1 for 128 images an update becomes 0.8 for 1024"]


def test_names_milestones_that_are_never_reached():
    settings = replace(RECIPES["paper"], epochs=200)
    assert notices(settings)[0].startswith("milestones: 225 lie beyond the last of 200 epochs")


def test_tells_of_a_longer_cosine():
    before = RECIPES["quickstart"]
    assert "were 8, now 16" in notices(replace(before, epochs=16), before)[0]
    assert not notices(before, before)
