"""Models of users that are hard to copy."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnext import backend
from keras_resnext.inference.network import logits_network, rebuild_flat


class Own(keras.regularizers.Regularizer):
    """Not registered, so that no other process could load it."""

    def __call__(self, weights):
        return keras.ops.sum(weights)

    def get_config(self):
        return {}


class Scaled(layers.Layer):
    """Without get_config."""

    def __init__(self, factor):
        super().__init__(name="scaled")
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs


def test_a_copy_has_names_of_its_own_and_nothing_to_train_by():
    """Two files' layers have the same names, and TensorFlow's graphs take no others than these."""
    odd = "ma_couche" if backend.NAME == "tensorflow" else "mâ couche"
    start = keras.Input((4,))
    inner = keras.Sequential([start, layers.Dense(4, name="a", kernel_regularizer=Own())])
    outer = [layers.Dense(4, name=name) for name in ("a", "a_2", odd)]
    model = keras.Sequential([start, inner, *outer])
    flat = rebuild_flat(model)
    names = [layer.name for layer in flat.layers]
    assert names == ["images", "a", "a_2", "a_2_2", re.sub("[ â]", "_", odd)]
    for ours, theirs in zip(flat.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_copied_is_named():
    with pytest.raises(
        ValueError, match=r"'scaled' of Scaled cannot be copied from its get_config"
    ):
        rebuild_flat(keras.Sequential([keras.Input((4,)), Scaled(2)]))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="head")])
    model.quantize("int8")
    with pytest.raises(ValueError, match=r"'head' has 3 weights, where a Dense has 2; .* quantize"):
        logits_network(model)
