import keras
import pytest
from keras import layers

import keras_resnext as kr
from keras_resnext import blocks
from keras_resnext.counting import multiply_adds, without_values
from tests.presets.peers import timm_multiply_adds

IMAGENET = dict(stem="imagenet", input_shape=(224, 224, 3), classes=1000)


@pytest.fixture(params=["channels_last", "channels_first"])
def data_format(request):
    keras.config.set_image_data_format(request.param)
    yield request.param
    keras.config.set_image_data_format("channels_last")


def image_shape(size, channels):
    first = keras.config.image_data_format() == "channels_first"
    return (channels, size, size) if first else (size, size, channels)


def test_counts_a_small_network_by_hand(data_format):
    image = keras.Input(image_shape(8, 3))
    x = layers.Conv2D(6, 3, padding="same")(image)
    x = layers.BatchNormalization(axis=1 if data_format == "channels_first" else -1)(x)
    x = kr.GroupedConv2D(12, (3, 1), strides=2, groups=3)(x)
    x = layers.Conv2D(4, 1, dilation_rate=2)(layers.ReLU()(x))
    x = layers.Dense(5, activation="softmax")(inputs=layers.Flatten()(x))
    assert multiply_adds(keras.Model(image, x)) == (
        8 * 8 * 6 * (3 * 3 * 3)
        + 3 * 4 * 12 * (3 * 1 * 6 // 3)  # 8x8, a 3x1 kernel, every second place: 3x4
        + 3 * 4 * 4 * 12
        + (3 * 4 * 4) * 5
    )


def test_counts_squeeze_and_excitation(data_format):
    arguments = dict(cardinality=4, input_shape=image_shape(8, 3))
    plain, weighed = (
        without_values(lambda on=on: kr.ResNeXt((1, 1), squeeze_excitation=on, **arguments))
        for on in (False, True)
    )
    assert multiply_adds(weighed) - multiply_adds(plain) == 2 * 256 * 16 + 2 * 512 * 32


def test_the_forms_of_the_block_compute_as_much():
    grouped, concatenated, branches = (
        without_values(lambda form=form: kr.ResNeXt((1, 1), cardinality=4, block=form))
        for form in ("grouped", "concatenated", "branches")
    )
    assert multiply_adds(grouped) == multiply_adds(concatenated) == multiply_adds(branches)


def test_what_is_called_twice_counts_twice():
    image = keras.Input((6, 6, 4))
    conv = layers.Conv2D(4, 3, padding="same")
    inner_image = keras.Input((6, 6, 4))
    inner = keras.Model(inner_image, conv(inner_image))
    model = keras.Model(image, inner(conv(conv(layers.Add()([image, inner(image)])))))
    assert multiply_adds(model) == 4 * multiply_adds(inner) == 4 * 6 * 6 * 4 * 9 * 4


# GFLOPS that torchvision states of its weights (`_ops`), which are multiply-adds.
@pytest.mark.parametrize(
    ("model", "arguments", "gigas"),
    [
        (kr.ResNeXt50, {}, 4.23),
        (kr.ResNeXt101, dict(base_width=8), 16.414),
        (kr.ResNeXt101, dict(cardinality=64), 15.46),
    ],
)
def test_counts_what_torchvision_states(model, arguments, gigas):
    network = without_values(lambda: model(**IMAGENET, **arguments))
    assert round(multiply_adds(network) / 1e9, 3) == pytest.approx(gigas, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnext50d_32x4d", dict(stage_blocks=(3, 4, 6, 3), stem="deep")),
        (
            "seresnext26t_32x4d",
            dict(stage_blocks=(2, 2, 2, 2), stem="deep_tiered", squeeze_excitation=True),
        ),
    ],
)
def test_counts_what_timms_modules_compute(name, arguments):
    arguments |= dict(shortcut="average_pool", input_shape=(288, 288, 3), classes=1000)
    ours = without_values(lambda: kr.ResNeXt(**arguments))
    assert multiply_adds(ours) == timm_multiply_adds(name, 288)


def test_without_values_nothing_is_initialized(monkeypatch):
    def initializer(shape, dtype=None):
        raise AssertionError("a value was asked for")

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "KERNEL_INITIALIZER", initializer)
        network = without_values(lambda: kr.ResNeXt((1,), cardinality=4))
    with keras.StatelessScope():
        pass  # at its end Keras makes up for values that were deferred
    usual = kr.ResNeXt((1,), cardinality=4)
    assert network.count_params() == usual.count_params()
    assert multiply_adds(network) == multiply_adds(usual)


def functional(layer, *shape):
    image = keras.Input(shape)
    return keras.Model(image, layer(image))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Sequential([layers.Dense(3)]), "one of the functional API, got 'sequential"),
        (
            lambda: without_values(lambda: kr.ResNeXt((1, 1), include_top=False)),
            r"'stem_conv' puts out \(None, None, 64\), of unknown size: .*input_shape",
        ),
        (
            lambda: functional(layers.DepthwiseConv2D(3, name="depthwise"), 8, 8, 3),
            "layer 'depthwise': a DepthwiseConv2D cannot be counted",
        ),
    ],
)
def test_what_cannot_be_counted_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        multiply_adds(model())
