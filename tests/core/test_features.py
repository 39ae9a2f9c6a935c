"""Features at several sizes, weights between forms of the block, and multiply-adds."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_resnext import ResNeXt, transfer_weights
from keras_resnext.features import FeatureInfo, feature_extractor, feature_info
from tests.gradients import outputs_and_gradients, relative_error
from tests.peers import load_peers

INFO = [
    FeatureInfo("stem_relu", 64, 2),
    FeatureInfo("stage1_block1_out", 256, 4),
    FeatureInfo("stage2_block2_out", 512, 8),
]


def backbone(**arguments):
    arguments = dict(cardinality=2, stem="imagenet", include_top=False) | arguments
    return ResNeXt((1, 2), **arguments)


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


FORMS = ("grouped", "concatenated", "branches")


@pytest.mark.parametrize("block", FORMS)
@pytest.mark.usefixtures("quick_build")
def test_every_form_of_the_block(block):
    model = backbone(block=block, reduce="grouped", input_shape=(17, 12, 3))
    assert feature_info(model) == INFO
    assert [tuple(features.shape) for features in feature_extractor(model).outputs] == [
        (None, -(-17 // info.stride), -(-12 // info.stride), info.channels) for info in INFO
    ]


@pytest.mark.usefixtures("quick_build")
def test_cifar_stem():
    model = backbone(stem="cifar", include_top=True, input_shape=(8, 8, 3))
    assert [info.stride for info in feature_info(model)] == [1, 1, 2]


@pytest.mark.usefixtures("channels_first", "quick_build")
def test_channels_first():
    model = backbone()
    assert feature_info(model) == INFO
    assert feature_extractor(model, (2,)).output.shape == (None, 512, None, None)


def test_chosen_stages_share_the_weights():
    model = backbone(include_top=True, input_shape=(16, 16, 3), classes=3)
    extractor = feature_extractor(model, (2, 1))
    before = extractor.predict(image(1, 16, 16, 3), verbose=0)
    assert [out.shape for out in before] == [(1, 2, 2, 512), (1, 4, 4, 256)]
    model.get_layer("stem_conv").kernel.assign(model.get_layer("stem_conv").kernel * 2)
    after = extractor.predict(image(1, 16, 16, 3), verbose=0)
    assert not np.allclose(after[1], before[1])
    assert [v.path for v in extractor.trainable_variables] == [
        v.path for v in model.trainable_variables if not v.path.startswith("predictions")
    ]


def test_on_a_tensor_of_ones_own_the_last_stage_is_what_a_model_gives_without_top():
    pixels = keras.Input((17, 12, 3))
    model = backbone(input_tensor=keras.layers.Rescaling(1 / 255)(pixels), pooling="avg")
    extractor = feature_extractor(model, (2,))
    assert extractor.inputs == model.inputs == [pixels]
    plain = backbone()
    plain.set_weights(model.get_weights())
    x = image(2, 17, 12, 3)
    found, expected = extractor.predict(255 * x, verbose=0), plain.predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("quick_build")
def test_as_timm_describes_them():
    """Of the network whose stem and shortcuts differ the most."""
    timm, _ = load_peers()
    import torch

    peer = timm.create_model("seresnext26t_32x4d", features_only=True)
    arguments = dict(stem="deep_tiered", shortcut="average_pool", squeeze_excitation=True)
    model = ResNeXt((2, 2, 2, 2), include_top=False, input_shape=(75, 64, 3), **arguments)
    info = feature_info(model)
    assert [i.channels for i in info] == peer.feature_info.channels()
    assert [i.stride for i in info] == peer.feature_info.reduction()
    expected = [features.shape[2:] for features in peer(torch.zeros(1, 3, 75, 64))]
    assert [x.shape[1:3] for x in feature_extractor(model).outputs] == expected


@pytest.mark.usefixtures("quick_build")
@pytest.mark.parametrize("stages", [(), (3,), (-1,), ("stage1",), 2])
def test_stages_that_there_are_not(stages):
    with pytest.raises(ValueError, match=r"from 0 \(the stem\) to 2 \(the last stage of resnext\)"):
        feature_extractor(backbone(), stages)


@pytest.mark.parametrize(
    "model",
    [
        lambda: keras.Sequential([keras.Input((16, 16, 3)), backbone()], name="other"),
        lambda: keras.Sequential([keras.layers.Dense(1)], name="other"),
        lambda: "other",
    ],
)
def test_models_of_others(model):
    with pytest.raises(ValueError, match="a ResNeXt that keras_resnext built, got 'other'"):
        feature_extractor(model())


def build(block, stage_blocks=(1, 1), **arguments):
    return ResNeXt(stage_blocks, block=block, classifier_activation=None, classes=3, **arguments)


def randomize(model, seed):
    """Batch normalization too: at its initial values it hides a mix-up of branches."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in layer.get_weights()]
            )


def run(model, x, cotangent, training=False):
    """Logits, and gradients of the input and of all trainable weights, joined as in form (c)."""

    def call(x, *weights):
        return model.stateless_call(weights, model.non_trainable_variables, x, training=training)[0]

    weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    out, (x_gradient, *gradients) = outputs_and_gradients(call, cotangent, x, *weights)
    whole = build("grouped", **model.arguments)
    holder = keras.models.clone_model(model)
    for variable, gradient in zip(holder.trainable_variables, gradients, strict=True):
        variable.assign(gradient)
    transfer_weights(holder, whole)
    return out, x_gradient, [keras.ops.convert_to_numpy(v) for v in whole.trainable_variables]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    cardinality=st.sampled_from([1, 2, 4]),
    base_width=st.sampled_from([1, 4, 5]),
    stage_blocks=st.sampled_from([(1,), (1, 1), (2, 1)]),
    reduce=st.sampled_from(["dense", "grouped"]),
    size=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
def test_forms_are_equal(cardinality, base_width, stage_blocks, reduce, size, training, seed):
    """Figure 3: outputs and every gradient of (a), (b) and (c), strides 1 and 2."""
    keras.backend.clear_session()
    arguments = dict(
        stage_blocks=stage_blocks,
        cardinality=cardinality,
        base_width=base_width,
        reduce=reduce,
        input_shape=(*size, 3),
    )
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, *size, 3), np.float32)
    cotangent = rng.standard_normal((4, 3), np.float32)
    results = {}
    source = None
    for form in FORMS:
        model = build(form, **arguments)
        model.arguments = arguments
        if source is None:
            randomize(model, seed)
            source = model
        else:
            transfer_weights(source, model)
        results[form] = run(model, x, cotangent, training)
    out, x_gradient, gradients = results["grouped"]
    scale = max(np.abs(g).max() for g in gradients)
    for form in FORMS[1:]:
        other_out, other_x_gradient, other_gradients = results[form]
        assert relative_error(other_out, out) < 1e-4
        assert relative_error(other_x_gradient, x_gradient) < 1e-4
        for ours, theirs in zip(other_gradients, gradients, strict=True):
            assert np.abs(ours - theirs).max() / scale < 1e-4


def test_models_that_differ_in_more_are_refused():
    target = build("branches", cardinality=2)
    before = target.get_weights()
    with pytest.raises(ValueError, match="missing: stage2_block1_conv1"):
        transfer_weights(build("grouped", stage_blocks=(1,), cardinality=2), target)
    with pytest.raises(
        ValueError, match=r"differ only in `block`: of another shape: stage1_block1_conv1/kernel"
    ):
        transfer_weights(build("grouped", cardinality=2, base_width=8), target)
    image = keras.Input((8, 8, 3))
    own = (keras.layers.Dense(3, use_bias=use_bias, name="own") for use_bias in (True, False))
    biased, plain = (build("grouped", cardinality=2, input_tensor=layer(image)) for layer in own)
    with pytest.raises(ValueError, match="of another shape: own of 2 tensors, expected 1"):
        transfer_weights(biased, plain)
    for ours, theirs in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
