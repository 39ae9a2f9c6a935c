"""Networks written down as their libraries do, and ours with their weights."""

from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.architecture import Architecture
from keras_resnext.weights.loading import load_weights
from keras_resnext.weights.naming import from_keras_applications, from_torch, to_torch
from keras_resnext.weights.tensors import read_tensors
from tests.gradients import relative_error
from tests.weights import old_networks

KINDS = [
    dict(),
    dict(stem="deep", shortcut="average_pool"),
    dict(stem="deep_tiered", squeeze_excitation=True),
    dict(stem="cifar", reduce="grouped"),
]


def network(**arguments):
    return ResNeXt(
        **dict(stage_blocks=(1, 2), cardinality=4, stem="imagenet", classes=5) | arguments,
        input_shape=(None, None, 3),
        classifier_activation=None,
    )


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("arguments", KINDS, ids=str)
def test_there_and_back(arguments):
    model = network(**arguments)
    found = from_torch(to_torch(model))
    expected = Architecture(**dict(stage_blocks=(1, 2), cardinality=4) | arguments)
    assert found.architecture() == expected
    assert found.classes == 5
    for layer in model.layers:
        for one, other in zip(found.arrays.pop(layer.name, []), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not found.arrays


def test_timm_takes_a_whole_state_dict_of_ours():
    torch = pytest.importorskip("torch")
    from tests.parity import peers

    model = network(stage_blocks=(1, 2, 1, 1), stem="deep", shortcut="average_pool",
                    squeeze_excitation=True)  # fmt: skip
    theirs = peers.ResNet(
        peers.Bottleneck, (1, 2, 1, 1), num_classes=5, cardinality=4, base_width=4, stem_width=32,
        stem_type="deep", avg_down=True, block_args=dict(attn_layer="se"),
    )  # fmt: skip
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in to_torch(model).items()}
    theirs.load_state_dict(tensors, strict=True)
    x = images(2, 45, 52, 3)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert relative_error(model.predict(x, verbose=0), expected) < 1e-4


@pytest.mark.parametrize("prefix", ["features.", ""])
def test_the_original_networks_as_converters_from_lua_name_them(prefix):
    torch = pytest.importorskip("torch")
    theirs = old_networks.randomize(old_networks.lua())
    head = "last_linear" if prefix else "10.1"
    tensors = {
        name.replace("head", head).replace("features.", prefix): tensor.numpy()
        for name, tensor in theirs.state_dict().items()
    }
    x = images(2, 40, 36, 3)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert relative_error(logits(from_torch(tensors), x), expected) < 1e-4


def test_the_cifar_implementation_with_grouped_1x1_convolutions():
    torch = pytest.importorskip("torch")
    theirs = old_networks.randomize(old_networks.GroupedCifar())
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    weights = from_torch(tensors)
    assert (weights.architecture().reduce, weights.architecture().stem) == ("grouped", "cifar")
    x = images(2, 16, 16, 3)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert relative_error(logits(weights, x), expected) < 1e-4


def test_keras_applications_depthwise_convolutions_and_sums(tmp_path):
    theirs = old_networks.keras_applications()
    theirs.save(tmp_path / "resnext.h5")
    x = images(2, 40, 36, 3)
    weights = from_keras_applications(read_tensors(tmp_path / "resnext.h5"))
    assert weights.architecture().cardinality == 4
    found = keras.ops.convert_to_numpy(keras.ops.softmax(logits(weights, x)))
    assert relative_error(found, theirs.predict(x, verbose=0)) < 1e-4


def logits(weights, x):
    """What our network makes of images with these weights."""
    model = ResNeXt(
        **asdict(weights.architecture()),
        input_shape=(None, None, 3),
        classes=weights.classes,
        classifier_activation=None,
    )
    load_weights(model, weights, Path("theirs"))
    return model.predict(x, verbose=0)


@pytest.mark.parametrize(
    "tensors",
    [
        {"backbone.conv.weight": np.zeros((3, 3))},
        {"conv1.weight": np.zeros((64, 3, 7, 7)), "layer1.0.conv4.weight": np.zeros((1, 1, 1, 1))},
        {},
    ],
)
def test_tensors_of_something_else(tensors):
    with pytest.raises(ValueError, match="no ResNeXt of torchvision, timm"):
        from_torch(tensors)
