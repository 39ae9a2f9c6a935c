import keras
import numpy as np
import pytest
from keras import layers

from keras_resnext import ResNeXt
from keras_resnext.export.fold import fold_batch_norm
from tests.export.conftest import randomize
from tests.gradients import relative_error


def norms(model):
    return [x.name for x in model.layers if isinstance(x, layers.BatchNormalization)]


def outputs(model):
    images = np.random.default_rng(0).standard_normal((3, *model.input_shape[1:]), np.float32)
    return model.predict(images, verbose=0)


@pytest.mark.parametrize(
    "options",
    [
        dict(block="concatenated"),
        dict(block="branches", stem="imagenet"),
        dict(reduce="grouped", stem="deep", shortcut="average_pool", squeeze_excitation=True),
    ],
    ids=str,
)
def test_every_form_stem_and_shortcut(options):
    """Blocks with a projection, with stride and without, and with the identity as shortcut."""
    model = randomize(ResNeXt((2, 1), cardinality=2, input_shape=(33, 20, 3), classes=5, **options))
    before = model.get_weights()
    folded = fold_batch_norm(model)
    assert norms(model)
    assert not norms(folded)
    assert relative_error(outputs(folded), outputs(model)) < 1e-5
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_a_bias_before_and_a_norm_without_gamma_or_beta(options):
    inputs = keras.Input((5, 5, 2))
    x = layers.Conv2D(4, 3, groups=2, bias_initializer="random_normal")(inputs)
    model = randomize(keras.Model(inputs, layers.BatchNormalization(**options)(x)))
    folded = fold_batch_norm(model)
    assert not norms(folded)
    assert relative_error(outputs(folded), outputs(model)) < 1e-5


def test_what_does_not_follow_a_lone_convolution_stays():
    inputs = keras.Input((5, 5, 2))
    seen_twice = layers.Conv2D(2, 1)(inputs)
    activated = layers.Conv2D(2, 1, activation="relu")(inputs)
    shared = layers.Conv2D(2, 1)
    sums = [layers.BatchNormalization(name="twice")(seen_twice), seen_twice, inputs]
    sums += [layers.BatchNormalization(name="shared")(shared(inputs)), shared(seen_twice)]
    sums += [layers.BatchNormalization(name="activated")(activated)]
    sums += [layers.BatchNormalization(axis=1, name="rows")(layers.Conv2D(2, 1)(inputs))]
    x = layers.BatchNormalization(name="no_convolution")(layers.Add()(sums))
    model = randomize(keras.Model(inputs, x))
    folded = fold_batch_norm(model)
    assert sorted(norms(folded)) == ["activated", "no_convolution", "rows", "shared", "twice"]
    np.testing.assert_array_equal(outputs(folded), outputs(model))
