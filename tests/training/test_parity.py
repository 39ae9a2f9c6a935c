"""Training is PyTorch's: the same network, weights, batches and schedule, fifty steps on."""

import keras
import numpy as np
import pytest
import torch

from keras_resnext import ResNeXt
from keras_resnext.benchmark import torch_network
from keras_resnext.training.optimizer import CoupledSGD
from keras_resnext.training.schedules import learning_rate
from keras_resnext.training.settings import Settings
from tests.gradients import relative_error
from tests.torch_peer import carry, modules_by_layer, tensors, to_torch

STEPS, STEPS_PER_EPOCH, BATCH, CLASSES = 50, 8, 16, 5
# Powers of two, since Keras keeps learning rates in float32.
SETTINGS = Settings(
    epochs=7, learning_rate=1 / 16, warmup_epochs=1.0, milestones=(2, 4), decay_factor=1 / 4
)


# Largest difference of the losses of the first epoch and of all steps, and, relative, of weights
# and moving statistics at the end. In float64, TensorFlow leaves nothing but rounding. Under JAX
# and PyTorch Keras computes parts of the head in float32 even then, and training multiplies that
# rounding step by step, as between two runs of one framework in float32: where rounding turns the
# sign of a pre-activation, a ReLU's gradient jumps.
BOUNDS = {"tensorflow": (1e-13, 1e-11, 1e-9), "jax": (1e-5, 0.05, 0.3), "torch": (1e-5, 0.05, 0.3)}


@pytest.fixture
def float64():
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    if keras.backend.backend() == "jax":
        jax.config.update("jax_enable_x64", False)


def torchs_learning_rate(step):
    """The settings in other words: rise over an epoch, then a quarter after epochs 2 and 4."""
    epoch = step // STEPS_PER_EPOCH
    return min(step / STEPS_PER_EPOCH, 1) / 16 / 4 ** ((epoch >= 2) + (epoch >= 4))


def networks():
    """Ours and PyTorch's with the same weights, in float64, of two stages."""
    keras.utils.set_random_seed(0)
    ours = ResNeXt(
        (1, 1),
        cardinality=4,
        classes=CLASSES,
        classifier_activation=None,
        input_shape=(8, 8, 3),
    )
    theirs = torch_network.ResNeXt((1, 1), cardinality=4, classes=CLASSES).double()
    carry(ours, theirs)
    return ours, theirs


def batches(steps):
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((BATCH, 8, 8, 3)), rng.integers(0, CLASSES, BATCH))
        for _ in range(steps)
    ]


def their_step(network, optimizer, x, y):
    optimizer.zero_grad()
    logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    loss.backward()
    optimizer.step()
    return loss.item()


def assert_same_weights(ours, theirs, bound):
    for name, module in modules_by_layer(theirs, ours).items():
        for array, tensor in zip(ours.get_layer(name).get_weights(), tensors(module), strict=True):
            expected = tensor.detach().numpy()
            assert relative_error(to_torch(array).numpy(), expected) < bound, name


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("nesterov", [True, False])
def test_fifty_steps_equal_pytorchs(nesterov):
    ours, theirs = networks()
    data = batches(STEPS)
    rate = learning_rate(SETTINGS, STEPS_PER_EPOCH)
    ours.compile(
        CoupledSGD(rate, momentum=0.9, nesterov=nesterov, coupled_weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    our_losses = [float(ours.train_on_batch(*batch)) for batch in data]

    optimizer = torch.optim.SGD(
        theirs.parameters(), 0.0, momentum=0.9, nesterov=nesterov, weight_decay=5e-4
    )
    their_losses = []
    for step, batch in enumerate(data):
        optimizer.param_groups[0]["lr"] = torchs_learning_rate(step)
        their_losses.append(their_step(theirs, optimizer, *batch))

    first, every, weights = BOUNDS[keras.backend.backend()]
    difference = np.abs(np.array(our_losses) - their_losses)
    assert difference[:STEPS_PER_EPOCH].max() < first
    assert difference.max() < every
    assert_same_weights(ours, theirs, weights)


@pytest.mark.usefixtures("float64")
def test_rates_by_stage_equal_pytorchs_parameter_groups():
    ours, theirs = networks()
    data = batches(5)
    ours.compile(
        CoupledSGD(1 / 16, 0.9, coupled_weight_decay=5e-4, backbone_rate=1 / 2, layer_decay=1 / 4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for batch in data:
        ours.train_on_batch(*batch)

    rates = {
        theirs.predictions: 1 / 16,
        theirs.blocks[1]: 1 / 16 / 2 / 4,
        theirs.blocks[0]: 1 / 16 / 2 / 4**2,
        theirs.stem: 1 / 16 / 2 / 4**3,
    }
    groups = [{"params": module.parameters(), "lr": rate} for module, rate in rates.items()]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=5e-4)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
        list(theirs.parameters())
    )
    for batch in data:
        their_step(theirs, optimizer, *batch)
    assert_same_weights(ours, theirs, 1e-12 if keras.backend.backend() == "tensorflow" else 1e-5)
