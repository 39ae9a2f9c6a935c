import keras
import numpy as np
import pytest

import keras_resnext as kr
from keras_resnext.features import FeatureInfo, feature_extractor, feature_info
from tests.peers import load_peers

INFO = [
    FeatureInfo("stem_relu", 64, 2),
    FeatureInfo("stage1_block1_out", 256, 4),
    FeatureInfo("stage2_block2_out", 512, 8),
]


def build(**arguments):
    arguments = dict(cardinality=2, stem="imagenet", include_top=False) | arguments
    return kr.ResNeXt((1, 2), **arguments)


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("block", ["grouped", "concatenated", "branches"])
@pytest.mark.usefixtures("quick_build")
def test_every_form_of_the_block(block):
    model = build(block=block, reduce="grouped", input_shape=(17, 12, 3))
    assert feature_info(model) == INFO
    assert [tuple(features.shape) for features in feature_extractor(model).outputs] == [
        (None, -(-17 // info.stride), -(-12 // info.stride), info.channels) for info in INFO
    ]


def test_the_last_stage_is_what_the_model_gives_without_top():
    model = build()
    images = image(2, 17, 12, 3)
    last = feature_extractor(model, (2,)).predict(images, verbose=0)
    np.testing.assert_array_equal(last, model.predict(images, verbose=0))


@pytest.mark.usefixtures("quick_build")
def test_cifar_stem():
    model = build(stem="cifar", include_top=True, input_shape=(8, 8, 3))
    assert [info.stride for info in feature_info(model)] == [1, 1, 2]


@pytest.mark.usefixtures("channels_first", "quick_build")
def test_channels_first():
    model = build()
    assert feature_info(model) == INFO
    assert feature_extractor(model, (2,)).output.shape == (None, 512, None, None)


def test_chosen_stages_share_the_weights():
    model = build(include_top=True, input_shape=(16, 16, 3), classes=3)
    extractor = feature_extractor(model, (2, 1))
    before = extractor.predict(image(1, 16, 16, 3), verbose=0)
    assert [out.shape for out in before] == [(1, 2, 2, 512), (1, 4, 4, 256)]
    model.get_layer("stem_conv").kernel.assign(model.get_layer("stem_conv").kernel * 2)
    after = extractor.predict(image(1, 16, 16, 3), verbose=0)
    assert not np.allclose(after[1], before[1])
    assert [v.path for v in extractor.trainable_variables] == [
        v.path for v in model.trainable_variables if not v.path.startswith("predictions")
    ]


def test_on_a_tensor_of_ones_own():
    pixels = keras.Input((16, 16, 3))
    model = build(input_tensor=keras.layers.Rescaling(1 / 255)(pixels), pooling="avg")
    extractor = feature_extractor(model, (1,))
    assert extractor.inputs == [pixels]
    plain = build()
    plain.set_weights(model.get_weights())
    x = image(1, 16, 16, 3)
    np.testing.assert_allclose(
        extractor.predict(x, verbose=0),
        feature_extractor(plain, (1,)).predict(x / 255, verbose=0),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("name", "stage_blocks", "arguments"),
    [
        ("resnext50_32x4d", (3, 4, 6, 3), dict(stem="imagenet")),
        (
            "seresnext26t_32x4d",
            (2, 2, 2, 2),
            dict(stem="deep_tiered", shortcut="average_pool", squeeze_excitation=True),
        ),
    ],
)
@pytest.mark.usefixtures("quick_build")
def test_as_timm_describes_them(name, stage_blocks, arguments):
    timm, _ = load_peers()
    import torch

    peer = timm.create_model(name, features_only=True)
    model = kr.ResNeXt(stage_blocks, include_top=False, input_shape=(75, 64, 3), **arguments)
    info = feature_info(model)
    assert [i.channels for i in info] == peer.feature_info.channels()
    assert [i.stride for i in info] == peer.feature_info.reduction()
    expected = [features.shape[2:] for features in peer(torch.zeros(1, 3, 75, 64))]
    assert [x.shape[1:3] for x in feature_extractor(model).outputs] == expected


@pytest.mark.usefixtures("quick_build")
@pytest.mark.parametrize("stages", [(), (3,), (-1,), ("stage1",)])
def test_stages_that_there_are_not(stages):
    with pytest.raises(ValueError, match=r"from 0 \(the stem\) to 2 \(the last stage of resnext\)"):
        feature_extractor(build(), stages)


@pytest.mark.parametrize(
    "model",
    [
        lambda: keras.Sequential([keras.Input((16, 16, 3)), build()], name="other"),
        lambda: keras.Sequential([keras.layers.Dense(1)], name="other"),
        lambda: "other",
    ],
)
def test_models_of_others(model):
    with pytest.raises(ValueError, match="a ResNeXt that keras_resnext built, got 'other'"):
        feature_extractor(model())
