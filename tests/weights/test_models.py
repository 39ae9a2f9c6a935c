import keras
import numpy as np
import pytest

import keras_resnext as kr
from keras_resnext import blocks
from keras_resnext.weights.files import without_values

ONLY_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="counts are the same under every backend"
)
IMAGENET = dict(stem="imagenet", input_shape=(224, 224, 3), classes=1000)
# (depth, arguments, trainable, moving): published counts, of torchvision and timm for ImageNet, of
# the original code and of the implementation with grouped 1x1 for CIFAR-100.
COUNTS = [
    ("50", IMAGENET, 25_028_904, 68_224),
    ("152", IMAGENET, 59_951_400, 199_296),
    ("29", {}, 34_518_948, 57_472),
    ("29", dict(classes=10), 34_426_698, 57_472),
    ("29", dict(cardinality=16), 68_247_460, 100_480),
    ("101", dict(reduce="grouped"), 25_303_204, 137_856),
    ("152", dict(reduce="grouped"), 33_343_652, 191_104),
    ("50", {}, 23_177_124, 68_224),
]


def tiny(**arguments):
    return kr.ResNeXt((1, 1), **dict(cardinality=4, base_width=4, classes=5) | arguments)


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def no_value(shape, dtype=None):
    raise AssertionError("a value was asked for")


@ONLY_TENSORFLOW
@pytest.mark.parametrize(("depth", "arguments", "trainable", "moving"), COUNTS, ids=str)
def test_parameter_counts(depth, arguments, trainable, moving, monkeypatch):
    """Of networks without values, to which Keras gives none later either."""
    monkeypatch.setattr(blocks, "KERNEL_INITIALIZER", no_value)
    model = without_values(lambda: getattr(kr, f"ResNeXt{depth}")(**arguments))
    with keras.StatelessScope():
        pass  # at its end Keras initializes what was deferred
    count = lambda weights: sum(int(np.prod(w.shape)) for w in weights)  # noqa: E731
    assert count(model.trainable_weights) == trainable
    assert count(model.non_trainable_weights) == moving


def test_no_argument_is_the_cifar_100_network():
    model = without_values(kr.ResNeXt50)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 100)
    assert model.name == "resnext50"
    np.testing.assert_allclose(tiny().predict(image(2, 32, 32, 3), verbose=0).sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("block", "reduce"),
    [("grouped", "dense"), ("concatenated", "grouped"), ("branches", "grouped")],
)
def test_channels_first_equals_channels_last(block, reduce, channels_first):
    arguments = dict(block=block, reduce=reduce)
    first = tiny(input_shape=(3, 12, 10), **arguments)
    keras.config.set_image_data_format("channels_last")
    last = tiny(input_shape=(12, 10, 3), **arguments)
    last.set_weights(first.get_weights())
    x = image(2, 12, 10, 3)
    np.testing.assert_allclose(
        first.predict(x.transpose(0, 3, 1, 2), verbose=0),
        last.predict(x, verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_without_top_takes_any_size(pooling):
    features = tiny(include_top=False)
    assert features.input_shape == (None, None, None, 3)
    pooled = tiny(include_top=False, pooling=pooling)
    pooled.set_weights(features.get_weights())
    x = image(2, 9, 14, 3)
    expected = keras.ops.convert_to_numpy(features(x, training=False))
    assert expected.shape == (2, 5, 7, 512)
    expected = expected.mean((1, 2)) if pooling == "avg" else expected.max((1, 2))
    np.testing.assert_allclose(pooled.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_saved_model_loads_and_predicts_the_same(tmp_path):
    model = tiny(reduce="grouped", input_shape=(8, 8, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = image(2, 8, 8, 3)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.to_json() == model.to_json()


def test_weights_argument_loads_a_file_into_any_form_of_the_block(tmp_path):
    model, path = tiny(), tmp_path / "tiny.weights.h5"
    model.save_weights(path)
    x = image(2, 32, 32, 3)
    for block in ("grouped", "concatenated", "branches"):
        again = tiny(weights=path, block=block, classes=None)
        assert again.name == "resnext"
        np.testing.assert_allclose(
            again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-6
        )
    features = tiny(weights=kr.open_checkpoint(path), include_top=False)
    np.testing.assert_array_equal(features.get_weights()[0], model.get_weights()[0])
    for arguments, message in (
        (dict(cardinality=2), "is of ResNeXt-8 4x4d, 1-1 blocks, CIFAR stem; build with card"),
        (dict(input_shape=(32, 32, 1)), "channels must be 3 of tiny"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny(weights=path, **arguments)


def test_mixed_precision_keeps_the_head_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stage2_block1_conv2").output.dtype == "bfloat16"
    assert model.get_layer("stage2_block1_out").output.dtype == "bfloat16"
    assert model.get_layer("stage2_block1_bn2").moving_variance.dtype == "float32"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(stage_blocks=()), r"stage_blocks=\(\).*\(3, 4, 6, 3\)"),
        (dict(stage_blocks=(1, 0)), r"stage_blocks=\(1, 0\)"),
        (dict(stage_blocks=50), "stage_blocks=50 must hold the number of blocks of each stage"),
        (dict(cardinality=0), "cardinality=0 must be a positive integer"),
        (dict(base_width=2.5), "base_width=2.5"),
        (dict(stem="cifr"), "stem='cifr'.*'cifar', 'imagenet'"),
        (dict(block="a"), "block='a'.*'grouped', 'concatenated', 'branches'"),
        (dict(reduce="none"), "reduce='none'.*'dense', 'grouped'"),
        (dict(reduce="grouped", cardinality=6), "cardinality=6.*use a power of 2, 1 to 64"),
        (dict(pooling="mean"), "pooling='mean'.*'avg', 'max'"),
        (dict(classes=0), "classes=0"),
        (dict(weights="imagenet"), "weights='imagenet': no weights are published for"),
        (dict(shortcut="avg"), "shortcut='avg'.*'projection', 'average_pool'"),
        (dict(input_shape=(32, 32)), r"input_shape=\(32, 32\)"),
        (dict(input_shape=224), "input_shape=224 must be the shape of one image"),
        (dict(input_tensor=np.zeros((1, 8, 8, 3))), "input_tensor must be symbolic.* is a ndarray"),
        (dict(input_shape=(1, 32, 3)), "1x32 pixels.*at least 2"),
        (dict(input_shape=(8, 8, None)), "channels must be a number"),
        (dict(input_tensor=keras.Input((8,))), "does not fit a batch of images"),
        (
            dict(input_tensor=keras.Input((8, 8, 3)), input_shape=(9, 9, 3)),
            r"does not fit input_shape=\(9, 9, 3\)",
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kr.ResNeXt(**dict(stage_blocks=(1, 1), classes=5) | arguments)
