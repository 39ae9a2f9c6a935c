import math

import keras
import numpy as np
import pytest

from keras_resnext.training import RECIPES, Settings
from keras_resnext.training.optimizer import CoupledSGD, learning_rate

RATES = (0.5, 0.5, 0.05, 0.05, 0.05)  # the change must reach the momentum at once
SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.05])
STEPS = 3  # per epoch


def torch_sgd(weight, gradients, momentum, nesterov, decay, rates=RATES):
    """PyTorch's rule as its documentation gives it, in float64."""
    buffer = None
    for gradient, rate in zip(gradients, rates, strict=True):
        gradient = gradient + decay * weight
        if momentum:
            buffer = gradient if buffer is None else momentum * buffer + gradient
            gradient = gradient + momentum * buffer if nesterov else buffer
        weight = weight - rate * gradient
    return weight


@pytest.mark.parametrize(
    ("momentum", "nesterov", "decay"),
    [(0.0, False, 0.0), (0.0, False, 0.1), (0.9, False, 0.1), (0.9, True, 0.1)],
)
def test_takes_the_steps_of_pytorch(momentum, nesterov, decay):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4))
    gradients = rng.normal(size=(len(RATES), 3, 4))
    optimizer = CoupledSGD(SCHEDULE, momentum, nesterov, coupled_weight_decay=decay)
    weight = keras.Variable(start.astype("float32"))
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [weight])
    expected = torch_sgd(start, gradients, momentum, nesterov, decay)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=0, atol=1e-6)


def test_accumulates_and_clips_as_pytorch():
    """torch: backward() on loss / 2 twice, clip_grad_norm_(0.5), step()."""
    rng = np.random.default_rng(2)
    start, gradients = rng.normal(size=5), rng.normal(size=(2 * len(RATES), 5))
    # Keras counts every step, so the rate is constant over the two steps of an update here.
    optimizer = CoupledSGD(
        keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.5, 0.05]),
        0.9,
        True,
        coupled_weight_decay=0.1,
        gradient_accumulation_steps=2,
        global_clipnorm=0.5,
    )
    weight = keras.Variable(start.astype("float32"))
    for step, gradient in enumerate(gradients):
        before = np.array(weight)
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [weight])
        assert (np.array(weight) == before).all() == (step % 2 == 0)
    means = gradients.reshape(-1, 2, 5).mean(axis=1)
    clipped = means * np.minimum(1, 0.5 / np.linalg.norm(means, axis=1, keepdims=True))
    expected = torch_sgd(start, clipped, 0.9, True, 0.1)
    np.testing.assert_allclose(np.array(weight), expected, rtol=0, atol=1e-6)


def test_backbone_waits_and_then_learns_at_its_own_rate():
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(len(RATES), 4)).astype("float32")
    optimizer = CoupledSGD(
        SCHEDULE, 0.9, coupled_weight_decay=0.1, backbone_rate=0.5, frozen_steps=2
    )
    head, stem = keras.layers.Dense(4, name="predictions"), keras.layers.Dense(4, name="stem")
    for layer in (head, stem):
        layer.build((None, 1))
        layer.bias.assign(np.ones(4))
    for gradient in gradients:
        tensor = keras.ops.convert_to_tensor(gradient)
        optimizer.apply([tensor, tensor], [head.bias, stem.bias])
    expected = torch_sgd(np.ones(4), gradients, 0.9, False, 0.1)
    np.testing.assert_allclose(np.array(head.bias), expected, atol=1e-6)
    expected = torch_sgd(np.ones(4), gradients[2:], 0.9, False, 0.1, rates=3 * [0.05 * 0.5])
    np.testing.assert_allclose(np.array(stem.bias), expected, atol=1e-6)


def test_config_makes_it_again():
    optimizer = CoupledSGD(0.1, 0.9, True, coupled_weight_decay=5e-4, clipnorm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, CoupledSGD)
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(ValueError, match="coupled_weight_decay: expected 0 or more, got -1"):
        CoupledSGD(coupled_weight_decay=-1)


def rates(settings):
    schedule = learning_rate(settings, STEPS)
    return np.array([float(schedule(step)) for step in range(settings.schedule.epochs * STEPS)])


def test_learning_rates_of_the_paper():
    expected = [0.1 * 0.1 ** ((s // STEPS >= 150) + (s // STEPS >= 225)) for s in range(900)]
    np.testing.assert_allclose(rates(RECIPES["paper"]), expected, rtol=1e-6)


def test_learning_rates_of_grouped1x1():
    def original(step):
        epoch = step // STEPS + 1  # train.py counts from 1
        if epoch <= 1:
            return 0.1 * step / (STEPS + 1e-8)  # WarmUpLR, stepped after each batch
        return 0.1 * 0.2 ** sum(epoch >= milestone for milestone in (60, 120, 160))

    expected = [original(step) for step in range(200 * STEPS)]
    np.testing.assert_allclose(rates(RECIPES["grouped1x1"]), expected, rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 1])
def test_cosine(warmup):
    settings = Settings().change(
        epochs=3 + warmup, schedule="cosine", learning_rate=0.2, warmup_epochs=float(warmup)
    )
    cosine = [0.1 * (1 + math.cos(math.pi * i / (3 * STEPS))) for i in range(3 * STEPS)]
    expected = [*(0.2 * np.arange(STEPS * warmup) / STEPS), *cosine]
    np.testing.assert_allclose(rates(settings), expected, rtol=1e-5, atol=1e-8)


def test_a_warm_up_leaves_a_step_at_the_peak():
    settings = Settings().change(epochs=1, schedule="cosine", warmup_epochs=0.9)
    np.testing.assert_allclose(rates(settings), [0, 0.05, 0.1], rtol=1e-6)
