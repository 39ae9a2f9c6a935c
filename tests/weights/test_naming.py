"""Networks written down as their libraries do, and ours with their weights, both ways."""

import re

import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.architecture import Architecture
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import find_network, to_torch
from tests.gradients import relative_error
from tests.parity.ours import from_torch, with_weights_of
from tests.weights import old_networks

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the same under every backend"
)


@pytest.fixture(scope="module")
def weights():
    return LayerWeights.of_model(ResNeXt((1, 2), cardinality=4, stem="imagenet", classes=5))


def _timm():
    from tests.parity import peers

    return peers.ResNet(
        peers.Bottleneck, (1, 2, 1, 1), num_classes=5, cardinality=4, base_width=4,
        stem_width=32, stem_type="deep", avg_down=True, block_args=dict(attn_layer="se"),
    )  # fmt: skip


PEERS = {"torchvision": _timm, **old_networks.NETWORKS}


@pytest.mark.parametrize("peer", PEERS)
def test_of_a_library_and_back(peer):
    torch = pytest.importorskip("torch")
    theirs = old_networks.randomize(PEERS[peer]())
    ours = with_weights_of({k: tensor.numpy() for k, tensor in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(2, 36, 40, 3)).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    found = keras.ops.convert_to_numpy(ours(x, training=False))
    assert relative_error(found, expected) < 1e-4
    if peer != "lua, without names":  # it is written by the other names of the same library
        tensors = to_torch(LayerWeights.of_model(ours), peer.split(",")[0])
        again = PEERS[peer]().eval()
        again.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()}, strict=True)
        with torch.no_grad():
            found = again(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
        np.testing.assert_array_equal(found, expected)


def test_the_first_children_of_a_network():
    torch = pytest.importorskip("torch")
    theirs = old_networks.randomize(_timm())
    for count, stages in ((-2, (1, 2, 1, 1)), (6, (1, 2))):
        children = torch.nn.Sequential(*list(theirs.children())[:count])
        tensors = {name: tensor.numpy() for name, tensor in children.state_dict().items()}
        weights = from_torch(tensors)
        assert (weights.architecture.stage_blocks, weights.classes) == (stages, None)
        assert to_torch(weights, "sequential").keys() == tensors.keys()


def move(*pairs):
    """Tensors by other names."""
    return lambda t: {re.sub(*pair, name): t[name] for pair in pairs for name in t}


HEAD = {"fc.0.weight": np.zeros((9, 512)), "fc.2.weight": np.zeros((3, 9))}
FOUND = {
    # How a trainer keeps the tensors of a network, and what is said.
    "a wrapper": (move(("^", "model_state_dict/module._orig_mod.encoder.net.0.")), 5, ()),
    "an average": (
        move(("^", "state_dict/"), ("^", "state_dict_ema/module.")),
        5,
        ["took state_dict_ema.module; it holds state_dict too"],
    ),
    "two of a kind": (
        lambda t: (
            move(("^", "module.encoder_q."), ("^", "module.encoder_k."))(t)
            | {"module.queue": np.zeros((3, 4)), "module.queue_ptr": np.zeros(1)}
        ),
        5,
        [
            "took module.encoder_q; it holds module.encoder_k too",
            "left out module.encoder_k, module.queue, module.queue_ptr, which a ResNeXt does not",
        ],
    ),
    "a detector": (
        lambda t: (
            move(("^backbone.body.fc", "roi_heads.fc"))(move(("^", "backbone.body."))(t))
            | {"backbone.fpn.inner.0.weight": np.zeros((9, 9, 1, 1)), "rpn.conv.bias": np.zeros(4)}
        ),
        None,
        ["left out roi_heads, backbone.fpn, rpn, which a ResNeXt does not have"],
    ),
    "Lightning": (
        lambda t: (
            move(("^", "state_dict/net."))(t)
            | {"state_dict/criterion.weight": np.zeros(5), "optimizer/0/exp_avg": np.zeros((3, 3))}
        ),
        5,
        ["left out criterion, which"],
    ),
    "a head in a Sequential": (move((r"^fc\.", "fc.1.")), 5, ()),
    "a head of two layers": (
        lambda t: {k: v for k, v in t.items() if k[:3] != "fc."} | HEAD,
        None,
        ["left out fc, which"],
    ),
    "a head without bias": (lambda t: {k: v for k, v in t.items() if k != "fc.bias"}, 5, ()),
    "a head of another size": (lambda t: t | {"fc.weight": np.zeros((5, 99))}, None, ["out fc,"]),
    "a head of two sizes": (lambda t: t | {"fc.bias": np.zeros(9)}, None, ["left out fc,"]),
}


@pytest.mark.parametrize("kind", FOUND)
def test_found_whatever_stands_around_it(kind, weights):
    change, classes, told = FOUND[kind]
    tensors = to_torch(weights)
    changed = change(tensors)
    network, lines = find_network({name: array.shape for name, array in changed.items()})
    assert len(lines) == len(told)
    assert all(text in line for text, line in zip(told, lines, strict=True))
    found = network.weights(changed.__getitem__)
    assert found.classes == classes
    assert found.architecture == Architecture((1, 2), cardinality=4)
    layer = "stage2_block1_conv2"
    np.testing.assert_array_equal(found.arrays[layer], weights.arrays[layer])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.clear(), "no tensors: ; known are the names of torchvision, seq"),
        (lambda t: t.pop("bn1.running_var"), "bn1.running_var is missing"),
        (lambda t: t.update({"conv1.weight": np.zeros(64)}), r"fit: conv1.weight \(64,\)$"),
        (
            lambda t: t.update({"bn1.running_var": np.zeros(63)}),
            r"fit: bn1.running_var \(63,\), expected \(64,\)$",
        ),
        (  # fewer channels than in a group
            lambda t: t.update(
                {
                    "layer1.0.conv1.weight": np.zeros((8, 32, 1, 1)),
                    "layer1.0.conv2.weight": np.zeros((8, 16, 3, 3)),
                }
            ),
            r"fit: layer1.0.conv2.weight \(8, 16, 3, 3\)$",
        ),
        (lambda t: t.update({"conv1.bias": t["bn1.bias"]}), r"conv1.bias \(64,\)"),
        (lambda t: t.update({"layer1.0.conv4.weight": t["fc.bias"]}), "layer1.0.conv4.weight"),
        (lambda t: [t.pop(k) for k in list(t) if "layer1." in k], "layer1.0.conv3.weight is miss"),
        (
            lambda t: t.update({"layer2.0.conv3.weight": np.zeros((256, 32, 1, 1))}),
            r"layer2.0.conv3.weight \(256, 32, 1, 1\), expected \(512, 32, 1, 1\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, told, weights):
    tensors = to_torch(weights)
    change(tensors)
    with pytest.raises(ValueError, match=told):
        from_torch(tensors)


def test_another_network_is_named_for_what_it_is():
    pytest.importorskip("torch")
    from tests.peers import load_peers

    timm, torchvision = load_peers()
    for network, told in (
        (torchvision.models.resnet18(), r"a ResNet-18: basic blocks, no groups; by the names of "
         r"torchvision, these do not fit: layer1\.0\.conv3\.weight is missing"),
        (timm.create_model("vit_tiny_patch16_224"), "a vision transformer: cls_token, pos_embed"),
        (torchvision.models.densenet121(), "a DenseNet: features.conv0.weight"),
        (timm.create_model("efficientnet_b0"), "an EfficientNet or MobileNet: conv_stem.weight"),
        (timm.create_model("ecaresnext26t_32x4d"), r"ResNet of another kind; .*\.se\.conv\.weight"),
        (old_networks.kuangliu(expansion=2), r"kuangliu, .*0.conv3.weight \(128, .* \(256, "),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told) as caught:
            find_network({k: tuple(v.shape) for k, v in network.state_dict().items()})
        assert len(str(caught.value).splitlines()) == 1
