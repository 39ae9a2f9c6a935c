import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.training.initial import HEAD, load_initial_weights


def network(classes=4, cardinality=2, seed=0):
    keras.utils.set_random_seed(seed)
    return ResNeXt((1,), cardinality=cardinality, classes=classes, input_shape=(8, 8, 3))


def differences(one, other):
    """Names of the layers whose weights differ."""
    return {
        layer.name
        for layer in one.layers
        if layer.weights
        for mine, theirs in zip(
            layer.get_weights(), other.get_layer(layer.name).get_weights(), strict=True
        )
        if not np.array_equal(mine, theirs)
    }


@pytest.fixture(params=["some.weights.h5", "some.keras", "run"])
def source(request, tmp_path):
    """Weights in each form in which they may come, and the network they are from."""
    trained = network(seed=1)
    path = tmp_path / request.param
    if request.param == "run":
        path.mkdir()
        trained.save_weights(path / "best.weights.h5")
    elif request.param == "some.keras":
        trained.save(path)
    else:
        trained.save_weights(path)
    return path, trained


def test_loads_everything(source):
    path, trained = source
    model = network()
    assert load_initial_weights(model, path)
    assert not differences(model, trained)


def test_leaves_a_classifier_of_other_classes_fresh(source):
    path, trained = source
    model = network(classes=7)
    fresh = model.get_layer(HEAD).get_weights()
    assert not load_initial_weights(model, path)
    for before, after in zip(fresh, model.get_layer(HEAD).get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    backbone = keras.Model(model.input, model.get_layer(HEAD).input)
    assert not differences(backbone, trained)


def test_refuses_another_network(source):
    path, _ = source
    with pytest.raises(ValueError, match=r"initial_weights: .* does not fit resnext"):
        load_initial_weights(network(cardinality=4), path)


def test_names_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"expected NAME.weights.h5, .*found none at .*nothing"):
        load_initial_weights(network(), tmp_path / "nothing")
