"""Small networks, the same under every backend."""

import keras
import numpy as np

from keras_resnext import ResNeXt

SHAPE = (10, 8, 3)


def build(shape=SHAPE, **arguments):
    """A ResNeXt whose Grad-CAM maps are positive in some places and not in others."""
    arguments = dict(cardinality=2, classes=4, classifier_activation=None) | arguments
    network = ResNeXt((1, 1), input_shape=shape, **arguments)
    rng = np.random.default_rng(1)
    for layer in network.layers:
        values = [
            rng.standard_normal(w.shape) / np.sqrt(np.prod(w.shape[:-1])) for w in layer.weights
        ]
        if isinstance(layer, keras.layers.BatchNormalization):
            values[0], values[3] = values[0] + 1, np.exp(values[3] / 4)  # gamma, variance
        layer.set_weights(values)
    return network


def around(network, activation="softmax", shape=SHAPE):
    """A user's model around a network with top: nested, augmentation in front, softmax behind."""
    layers = [keras.Input(shape), keras.layers.RandomFlip(), network, keras.layers.Dropout(0.3)]
    layers += [keras.layers.Activation(activation)] if activation else []
    return keras.Sequential(layers)
