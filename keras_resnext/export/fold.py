"""Batch normalization folded into the convolution before it, for inference."""

from collections import Counter
from itertools import chain

import keras
import numpy as np

from keras_resnext.inference.network import rebuild_flat


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Return the network without the batch normalizations that follow convolutions.

    Once trained, `y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta` is a convolution
    with another kernel and a bias, equal up to rounding. A sum of convolutions (form (a) of the
    block) is folded too: each kernel is scaled, and one convolution gets the bias. A normalization
    that follows anything else stays, and so does one whose layers are called more than once.

    Args:
        model: flat, of the functional API; it is left as it is.
    """
    convolutions = _foldable(model)
    folded = {layer.name for layers in convolutions.values() for layer in layers}

    def add_bias(layer, config):
        if layer.name in folded:
            config["use_bias"] = True

    result = rebuild_flat(model, add_bias, lambda layer: layer.name in convolutions)
    for name, layers in convolutions.items():
        scale, shift = _scale_and_shift(model.get_layer(name))
        for layer in layers:
            kernel, *bias = layer.get_weights()
            offset = sum(bias) * scale + shift
            result.get_layer(layer.name).set_weights([kernel * scale, offset])
            shift = np.zeros_like(shift)  # one convolution of a sum brings it in
    return result


def _foldable(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """The convolutions that each batch normalization can go into, by its name."""
    once = [operation for operation in model.operations if len(operation._inbound_nodes) == 1]
    producers = {id(operation.output): operation for operation in once}
    consumers = Counter(map(id, model.outputs))
    for operation in model.operations:
        for node in operation._inbound_nodes:
            consumers.update(map(id, node.input_tensors))

    def convolutions_behind(tensor, axis: int) -> list[keras.Layer]:
        producer = producers.get(id(tensor))
        if consumers[id(tensor)] != 1:
            return []
        if isinstance(producer, keras.layers.Conv2D):
            channels = 1 if producer.data_format == "channels_first" else 3
            linear = producer.activation is keras.activations.linear
            return [producer] if linear and axis % 4 == channels else []
        if isinstance(producer, keras.layers.Add):
            behind = [convolutions_behind(addend, axis) for addend in producer.input]
            return list(chain(*behind)) if all(behind) else []
        return []

    norms = [x for x in producers.values() if isinstance(x, keras.layers.BatchNormalization)]
    found = {norm.name: convolutions_behind(norm.input, norm.axis) for norm in norms}
    return {name: layers for name, layers in found.items() if layers}


def _scale_and_shift(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What inference does to each channel: float64 (channels,) twice."""
    values = {w.name: keras.ops.convert_to_numpy(w).astype(np.float64) for w in norm.weights}
    mean, variance = values["moving_mean"], values["moving_variance"]
    scale = values.get("gamma", 1.0) / np.sqrt(variance + norm.epsilon)
    return scale, values.get("beta", 0.0) - mean * scale
