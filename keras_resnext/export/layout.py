"""Channels first within a network, for runtimes that do not see through transpositions."""

from typing import Any

import keras
from keras import layers

from keras_resnext.inference.network import rebuild_flat

_MOVABLE = (
    layers.Conv2D, layers.DepthwiseConv2D, layers.BatchNormalization, layers.ReLU, layers.Add,
    layers.Multiply, layers.Concatenate, layers.ZeroPadding2D, layers.MaxPooling2D,
    layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D,
)  # fmt: skip
_ELEMENTWISE = (None, "linear", "relu", "relu6", "sigmoid", "silu", "gelu", "hard_sigmoid")


def channels_first(network: keras.Model) -> keras.Model:
    """Return a flat network that turns its images once, instead of around each convolution.

    PyTorch's exporters write what Keras does, and Keras turns the input and output of each: 104
    times in a ResNeXt-50. A network that has other layers than `_MOVABLE` between the first of
    those and the pooling of the channels is returned as it is.
    """
    rest = [each for each in network.operations if not isinstance(each, layers.InputLayer)]
    while rest and not _is_movable(rest[0]):
        rest.pop(0)
    if not rest or not all(map(_is_movable, rest)):
        return network
    start = _input(rest[0])
    front = keras.Model(network.input, start)

    def move(layer: keras.Layer, config: dict[str, Any]) -> None:
        if "data_format" in config:
            config["data_format"] = "channels_first"
        if "axis" in config and len(_input(layer).shape) == 4:
            config["axis"] = 1

    def enter(images):
        return layers.Permute((3, 1, 2))(front(images))

    return rebuild_flat(keras.Model(start, network.output), move, enter=enter)


def _is_movable(operation: Any) -> bool:
    if not isinstance(operation, keras.Layer):
        return False
    if len(_input(operation).shape) < 4:  # a Reshape may lead back to an image
        return len(operation.output.shape) < 4
    config = operation.get_config()
    return (
        type(operation) in _MOVABLE
        and config.get("data_format", "channels_last") == "channels_last"
        and config.get("activation") in _ELEMENTWISE
        and config.get("axis", -1) in (-1, 3)
    )


def _input(layer: keras.Layer) -> Any:
    return layer._inbound_nodes[0].input_tensors[0]
