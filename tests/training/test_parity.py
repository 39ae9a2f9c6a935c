"""Training is PyTorch's: the same network, weights, batches and schedule, twenty steps on."""

import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt, backend
from keras_resnext.training import Settings
from keras_resnext.training.optimizer import CoupledSGD, learning_rate
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import to_torch
from tests.peers import load_peers

STEPS, STEPS_PER_EPOCH, BATCH, CLASSES = 20, 4, 16, 5
# Powers of two, since Keras keeps learning rates in float32.
SETTINGS = Settings().change(
    epochs=5, learning_rate=1 / 16, warmup_epochs=1.0, milestones=(2, 4), decay_factor=1 / 4
)

# Largest difference of the losses of the first epoch and of all steps, and, relative, of weights
# and moving statistics at the end. In float64, TensorFlow leaves nothing but rounding. Under JAX
# and PyTorch Keras computes parts of the head in float32 even then, and training multiplies that
# rounding step by step, as between two runs of one framework in float32: where rounding turns the
# sign of a pre-activation, a ReLU's gradient jumps.
BOUNDS = {"tensorflow": (1e-12, 1e-10, 1e-8), "jax": (1e-5, 0.05, 0.3), "torch": (1e-5, 0.05, 0.3)}


@pytest.fixture
def float64():
    if backend.NAME == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    if backend.NAME == "jax":
        jax.config.update("jax_enable_x64", False)


def torchs_learning_rate(step):
    """The settings in other words: rise over an epoch, then a quarter after epochs 2 and 4."""
    epoch = step // STEPS_PER_EPOCH
    return min(step / STEPS_PER_EPOCH, 1) / 16 / 4 ** ((epoch >= 2) + (epoch >= 4))


def networks():
    """Ours and torchvision's with the same weights, in float64, of two stages."""
    import torch

    torchvision = load_peers()[1]
    keras.utils.set_random_seed(0)
    ours = ResNeXt(
        (1, 1),
        cardinality=4,
        stem="imagenet",
        classes=CLASSES,
        classifier_activation=None,
        input_shape=(32, 32, 3),
    )
    resnet = torchvision.models.resnet
    theirs = resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES, groups=4, width_per_group=4
    )
    theirs.layer3 = theirs.layer4 = torch.nn.Identity()
    theirs.fc = torch.nn.Linear(512, CLASSES)
    theirs.double()
    tensors = {name: torch.tensor(array) for name, array in state(ours).items()}
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert all("num_batches_tracked" in name for name in missing)
    assert not unexpected
    return ours, theirs


def state(model):
    return to_torch(LayerWeights.of_model(model))


def batches(steps):
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((BATCH, 32, 32, 3)), rng.integers(0, CLASSES, BATCH))
        for _ in range(steps)
    ]


def their_step(network, optimizer, x, y):
    import torch

    optimizer.zero_grad()
    logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    loss.backward()
    optimizer.step()
    return loss.item()


def assert_same_weights(ours, theirs, bound):
    expected = theirs.state_dict()
    for name, array in state(ours).items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor = expected[name].numpy()
        error = np.abs(array - tensor).max() / np.abs(tensor).max()
        assert error < bound, name


@pytest.mark.usefixtures("float64")
def test_twenty_steps_equal_pytorchs():
    import torch

    ours, theirs = networks()
    data = batches(STEPS)
    rate = learning_rate(SETTINGS, STEPS_PER_EPOCH)
    ours.compile(
        CoupledSGD(rate, momentum=0.9, nesterov=True, coupled_weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    our_losses = [float(ours.train_on_batch(*batch)) for batch in data]

    optimizer = torch.optim.SGD(
        theirs.parameters(), 0.0, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    their_losses = []
    for step, batch in enumerate(data):
        optimizer.param_groups[0]["lr"] = torchs_learning_rate(step)
        their_losses.append(their_step(theirs, optimizer, *batch))

    first, every, weights = BOUNDS[backend.NAME]
    difference = np.abs(np.array(our_losses) - their_losses)
    assert difference[:STEPS_PER_EPOCH].max() < first
    assert difference.max() < every
    assert_same_weights(ours, theirs, weights)


@pytest.mark.usefixtures("float64")
def test_rates_of_backbone_and_head_equal_pytorchs_parameter_groups():
    import torch

    ours, theirs = networks()
    ours.compile(
        CoupledSGD(1 / 16, 0.9, coupled_weight_decay=5e-4, backbone_rate=1 / 2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    backbone = [p for name, p in theirs.named_parameters() if not name.startswith("fc.")]
    groups = [{"params": [*theirs.fc.parameters()]}, {"params": backbone, "lr": 1 / 32}]
    optimizer = torch.optim.SGD(groups, 1 / 16, momentum=0.9, weight_decay=5e-4)
    for batch in batches(3):
        ours.train_on_batch(*batch)
        their_step(theirs, optimizer, *batch)
    assert_same_weights(ours, theirs, 1e-11 if backend.NAME == "tensorflow" else 1e-4)
