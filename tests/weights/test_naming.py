"""Networks written down as their libraries do, and ours with their weights."""

from dataclasses import asdict

import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.architecture import Architecture
from keras_resnext.models import load_weights
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import NAMINGS, from_torch, to_torch
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
    found = from_torch(to_torch(LayerWeights.of_model(model)))
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
    weights = LayerWeights.of_model(model)
    tensors = {name: torch.from_numpy(value) for name, value in to_torch(weights).items()}
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


def logits(weights, x):
    """What our network makes of images with these weights."""
    model = ResNeXt(
        **asdict(weights.architecture()),
        input_shape=(None, None, 3),
        classes=weights.classes,
        classifier_activation=None,
    )
    load_weights(model, weights, "theirs")
    return model.predict(x, verbose=0)


@pytest.mark.parametrize("naming", NAMINGS, ids=lambda naming: naming.modules["predictions"])
def test_every_naming_goes_both_ways(naming):
    layers = ["stem_conv", "stem_conv1", "stage1_block1_conv1", "stage3_block12_bn3", "predictions"]
    modules = {layer: naming.module(layer) for layer in layers}
    assert modules["stage3_block12_bn3"]
    for layer, module in modules.items():
        assert module is None or naming.layer(module) == layer
    assert naming.layer("backbone.conv1") is naming.module("stage1_block1_conv4") is None


@pytest.mark.parametrize("library", {naming.library for naming in NAMINGS})
def test_written_as_each_library_names_it(library):
    cifar = "weiaicunzai" in library
    weights = LayerWeights.of_model(
        network(stem="cifar" if cifar else "imagenet", reduce="grouped" if cifar else "dense")
    )
    found = from_torch(to_torch(weights, library))
    assert found.architecture() == weights.architecture()
    with pytest.raises(ValueError, match="has no names for such a network"):
        to_torch(LayerWeights({"stage1_block1_conv9": []}), library)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.clear(), "it is empty"),
        (lambda t: t.pop("bn1.running_var"), "bn1.running_var is missing"),
        (lambda t: t.update({"conv1.bias": t["bn1.bias"]}), r"conv1.bias \(64,\)"),
        (lambda t: t.update({"fc.weight": t["fc.weight"][0]}), r"fc.weight \(512,\)"),
        (lambda t: t.update({"layer1.0.conv4.weight": t["fc.bias"]}), "layer1.0.conv4.weight"),
        (lambda t: [t.pop(name) for name in list(t) if "layer1." in name], "lacks layers"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, told):
    tensors = to_torch(LayerWeights.of_model(network()))
    change(tensors)
    with pytest.raises(ValueError, match=told):
        from_torch(tensors)
