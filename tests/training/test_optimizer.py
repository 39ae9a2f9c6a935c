import keras
import numpy as np
import pytest

from keras_resnext.training.optimizer import CoupledSGD

RATES = (0.5, 0.5, 0.05, 0.05, 0.05)  # the change must reach the momentum at once


def torch_sgd(weight, gradients, momentum, nesterov, decay):
    """PyTorch's rule as its documentation gives it, in float64."""
    buffer = None
    for gradient, rate in zip(gradients, RATES, strict=True):
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
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.05])
    optimizer = CoupledSGD(schedule, momentum, nesterov, coupled_weight_decay=decay)
    weight = keras.Variable(start.astype("float32"))
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [weight])
    expected = torch_sgd(start, gradients, momentum, nesterov, decay)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=0, atol=1e-6)


def test_oracle_is_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=3), rng.normal(size=(len(RATES), 3))
    weight = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9, nesterov=True, weight_decay=0.1)
    for gradient, rate in zip(gradients, RATES, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    expected = torch_sgd(start, gradients, 0.9, True, 0.1)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)


def test_config_makes_it_again():
    optimizer = CoupledSGD(0.1, 0.9, True, coupled_weight_decay=5e-4, clipnorm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, CoupledSGD)
    assert again.get_config() == optimizer.get_config()


def test_accumulates_and_clips_as_pytorch():
    """torch: backward() on loss / 2 twice, clip_grad_norm_(0.5), step()."""
    rng = np.random.default_rng(2)
    start, gradients = rng.normal(size=5), rng.normal(size=(2 * len(RATES), 5))
    # Keras counts every step, so the rate is constant over the two steps of an update here.
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.5, 0.05])
    optimizer = CoupledSGD(
        schedule,
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
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.05])
    optimizer = CoupledSGD(
        schedule, 0.9, coupled_weight_decay=0.1, backbone_rate=0.5, frozen_steps=2
    )
    head, stem = keras.layers.Dense(4, name="predictions"), keras.layers.Dense(4, name="stem")
    for layer in (head, stem):
        layer.build((None, 1))
    start = [np.array(layer.bias) + 1.0 for layer in (head, stem)]
    for layer in (head, stem):
        layer.bias.assign(start[0])
    for gradient in gradients:
        tensor = keras.ops.convert_to_tensor(gradient)
        optimizer.apply([tensor, tensor], [head.bias, stem.bias])
    np.testing.assert_allclose(
        np.array(head.bias), torch_sgd(start[0], gradients, 0.9, False, 0.1), atol=1e-6
    )
    slow, buffer = start[1], 0.0
    for gradient in gradients[2:]:
        buffer = 0.9 * buffer + gradient + 0.1 * slow
        slow = slow - 0.05 * 0.5 * buffer
    np.testing.assert_allclose(np.array(stem.bias), slow, atol=1e-6)


def test_refuses_a_negative_decay():
    with pytest.raises(ValueError, match="coupled_weight_decay: expected 0 or more, got -1"):
        CoupledSGD(coupled_weight_decay=-1)
