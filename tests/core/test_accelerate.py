import keras
import numpy as np
import pytest
from keras import layers
from keras.src.applications.convnext import ConvNeXt

from keras_resnext import BatchNorm, GroupedConv2D, backend
from keras_resnext.accelerate import accelerate

RNG = np.random.default_rng(0)


def randomize(model):
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([RNG.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])


def check(model, x, tmp_path):
    """The same outputs by our layers, in weights of its own that the same file fills."""
    randomize(model)
    before = model.get_weights()
    fast = accelerate(model)
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    actual = keras.tree.flatten(fast.predict(x, verbose=0))
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
    for layer in fast._flatten_layers():
        if isinstance(layer, layers.Conv2D) and layer.groups > 1:
            assert type(layer) is GroupedConv2D
        if isinstance(layer, layers.BatchNormalization):
            assert type(layer) is BatchNorm
    for ours, theirs in zip(fast.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fast.set_weights([np.zeros_like(w) for w in before])
    model.save_weights(tmp_path / "x.weights.h5")
    fast.load_weights(tmp_path / "x.weights.h5")
    for ours, theirs in zip(fast.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    return fast


def test_shared_layers_nested_models_and_operations(tmp_path):
    conv, norm = layers.Conv2D(8, 3, padding="same", groups=2), layers.BatchNormalization()
    inner_image = keras.Input((8, 8, 8))
    inner = keras.Model(inner_image, norm(conv(inner_image)), name="inner")
    inner.compile("sgd", lambda y, p: y - p)  # such a loss cannot be copied, and need not be
    image = keras.Input((8, 8, 8))
    x = inner(inner(conv(norm(conv(image)))))
    first, second = keras.ops.split(x, 2, axis=-1)
    sequential = keras.Sequential([layers.Conv2D(8, 1, groups=4), layers.Dropout(0.5)])
    x = sequential(keras.ops.concatenate([second, first], -1))
    model = keras.Model(image, [x, first])
    fast = check(model, RNG.standard_normal((2, 8, 8, 8), np.float32), tmp_path)
    assert len(fast.weights) == len(model.weights) == 8
    assert inner.compiled


def test_several_inputs_and_outputs_by_name(tmp_path):
    image, numbers = keras.Input((8, 8, 8), name="image"), keras.Input((4,), name="numbers")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, groups=2)(image))
    outputs = {"class": layers.Dense(3)(layers.Concatenate()([x, numbers])), "mean": x}
    model = keras.Model({"image": image, "numbers": numbers}, outputs)
    x = {"image": RNG.standard_normal((2, 8, 8, 8), np.float32), "numbers": np.ones((2, 4))}
    check(model, x, tmp_path)


def test_sequential_with_layers_of_every_kind(tmp_path):
    model = keras.Sequential(
        [
            layers.RandomFlip(),
            layers.Normalization(),
            layers.Lambda(lambda x: x * 2),
            layers.TimeDistributed(layers.Conv1D(4, 1)),
            layers.Conv2D(8, 3, groups=4),
            layers.BatchNormalization(),
        ]
    )
    x = RNG.standard_normal((2, 8, 8, 8), np.float32)
    model.layers[1].adapt(x)
    model(x)  # builds it
    model.layers[4].trainable = False
    fast = check(model, x, tmp_path)
    assert [layer.trainable for layer in fast.layers] == [layer.trainable for layer in model.layers]
    unbuilt = accelerate(keras.Sequential([layers.Conv2D(4, 1, groups=2)]))
    assert isinstance(unbuilt.layers[0], GroupedConv2D)


@pytest.mark.skipif(backend.NAME != "torch", reason="once is enough")
def test_network_of_keras_applications(tmp_path):
    """ConvNeXt's depthwise convolutions are grouped."""
    sizes = dict(depths=(1, 1, 1, 1), projection_dims=(8, 16, 32, 64), input_shape=(32, 32, 3))
    model = ConvNeXt(**sizes, weights=None, classes=5, name="small")
    check(model, RNG.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32), tmp_path)


def around(layer):
    return keras.Sequential([keras.Input((8, 8, 4)), layer])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.conv = layers.Conv2D(4, 1, groups=2)

    def call(self, x):
        return self.conv(x)


class Unconfigured(layers.Layer):
    def __init__(self, function):
        super().__init__(name="unconfigured")
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Subclassed, "'mine' is a Subclassed, .*Use GroupedConv2D"),
        (lambda: around(Subclassed()), "'mine' is a Subclassed, whose layers only its own call"),
        (
            lambda: around(Unconfigured(lambda x: x)),
            "layer 'unconfigured': a Unconfigured cannot be built from its configuration",
        ),
    ],
)
def test_what_cannot_be_rebuilt_is_named(model, message):
    with pytest.raises(ValueError, match=message):
        accelerate(model())
