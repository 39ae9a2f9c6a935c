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


def test_refuses_a_negative_decay():
    with pytest.raises(ValueError, match="coupled_weight_decay: expected 0 or more, got -1"):
        CoupledSGD(coupled_weight_decay=-1)
