import keras
import numpy as np
import pytest
from keras import layers

from keras_resnext import ResNeXt
from keras_resnext.export.folding import fold_batch_norm
from tests.export.conftest import randomise
from tests.gradients import relative_error


def norms(model):
    return [x.name for x in model.layers if isinstance(x, layers.BatchNormalization)]


def outputs(model, seed=0):
    images = np.random.default_rng(seed).standard_normal((3, *model.input_shape[1:]), np.float32)
    return model.predict(images, verbose=0)


@pytest.mark.parametrize("reduce", ["dense", "grouped"])
@pytest.mark.parametrize("block", ["grouped", "concatenated", "branches"])
def test_every_block_form(block, reduce):
    """Blocks with a projection, with stride and without, and with the identity as shortcut."""
    model = randomise(
        ResNeXt(
            (2, 1),
            cardinality=2,
            block=block,
            reduce=reduce,
            input_shape=(8, 7, 3),
            classes=5,
            classifier_activation=None,
        )
    )
    folded = fold_batch_norm(model)
    assert norms(model)
    assert not norms(folded)
    assert relative_error(outputs(folded), outputs(model)) < 1e-5


@pytest.mark.parametrize(
    "arguments",
    [
        dict(stem="imagenet"),
        dict(stem="deep", shortcut="average_pool", squeeze_excitation=True),
    ],
    ids=str,
)
def test_imagenet_stems(arguments):
    model = randomise(
        ResNeXt((1, 1), cardinality=1, input_shape=(33, 20, 3), include_top=False, **arguments)
    )
    folded = fold_batch_norm(model)
    assert not norms(folded)
    assert relative_error(outputs(folded), outputs(model)) < 1e-5


def test_the_original_stays_as_it_is():
    model = randomise(ResNeXt((1,), cardinality=1, input_shape=(4, 4, 3), classes=2))
    weights = model.get_weights()
    fold_batch_norm(model)
    for after, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_a_bias_before_and_a_norm_without_gamma_or_beta(options):
    inputs = keras.Input((5, 5, 2))
    x = layers.Conv2D(4, 3, groups=2, bias_initializer="random_normal")(inputs)
    model = randomise(keras.Model(inputs, layers.BatchNormalization(**options)(x)))
    folded = fold_batch_norm(model)
    assert not norms(folded)
    assert relative_error(outputs(folded), outputs(model)) < 1e-5


def test_what_does_not_follow_a_lone_convolution_stays():
    inputs = keras.Input((5, 5, 2))
    seen_twice = layers.Conv2D(2, 1)(inputs)
    activated = layers.Conv2D(2, 1, activation="relu")(inputs)
    sums = layers.Add()([layers.BatchNormalization(name="twice")(seen_twice), seen_twice, inputs])
    x = layers.Add()([layers.BatchNormalization(name="activated")(activated), sums])
    model = randomise(keras.Model(inputs, layers.BatchNormalization(name="no_convolution")(x)))
    folded = fold_batch_norm(model)
    assert sorted(norms(folded)) == ["activated", "no_convolution", "twice"]
    np.testing.assert_array_equal(outputs(folded), outputs(model))
