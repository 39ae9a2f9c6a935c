import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnext.training.recipes import RECIPES
from keras_resnext.training.schedules import learning_rate
from keras_resnext.training.settings import Settings

STEPS = 3  # an epoch


def rates(settings):
    schedule = learning_rate(settings, STEPS)
    steps = range(settings.epochs * STEPS)
    return np.array([float(schedule(step)) for step in steps])


def by_step(of_epoch, epochs):
    return np.array([of_epoch(step // STEPS) for step in range(epochs * STEPS)])


def test_paper():
    expected = by_step(lambda epoch: 0.1 * 0.1 ** ((epoch >= 150) + (epoch >= 225)), 300)
    np.testing.assert_allclose(rates(RECIPES["paper"]), expected, rtol=1e-6)


def test_paper_with_the_milestones_of_its_code():
    # train.lua, epochs from 1: (epoch / nEpochs) > 0.74 and 2 or > 0.49 and 1 or 0
    expected = by_step(
        lambda epoch: 0.1 * 0.1 ** (((epoch + 1) / 300 > 0.49) + ((epoch + 1) / 300 > 0.74)), 300
    )
    settings = replace(RECIPES["paper"], milestones=(147, 222))
    np.testing.assert_allclose(rates(settings), expected, rtol=1e-6)


def test_grouped1x1():
    def original(step):
        epoch = step // STEPS + 1  # train.py counts from 1
        if epoch <= 1:
            return 0.1 * step / (STEPS + 1e-8)  # WarmUpLR, stepped after each batch
        return 0.1 * 0.2 ** sum(epoch >= milestone for milestone in (60, 120, 160))

    expected = [original(step) for step in range(200 * STEPS)]
    np.testing.assert_allclose(rates(RECIPES["grouped1x1"]), expected, rtol=1e-6)


def test_cosine_with_warmup():
    settings = Settings(epochs=4, schedule="cosine", learning_rate=0.2, warmup_epochs=1.0)
    cosine = [0.1 * (1 + math.cos(math.pi * i / (3 * STEPS))) for i in range(3 * STEPS)]
    expected = [*(0.2 * np.arange(STEPS) / STEPS), *cosine]
    np.testing.assert_allclose(rates(settings), expected, rtol=1e-5, atol=1e-8)


def test_cosine_without_warmup_begins_at_the_top():
    settings = Settings(epochs=4, schedule="cosine", learning_rate=0.2)
    assert rates(settings)[0] == pytest.approx(0.2)


def test_constant_is_a_number():
    assert learning_rate(Settings(schedule="constant", learning_rate=0.3), STEPS) == 0.3


def test_config_makes_it_again():
    schedule = learning_rate(RECIPES["grouped1x1"], STEPS)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert [float(again(i)) for i in range(9)] == [float(schedule(i)) for i in range(9)]
