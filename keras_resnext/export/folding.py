"""Batch normalisation folded into the convolution before it, for inference."""

from collections import Counter
from itertools import chain

import keras
import numpy as np

from keras_resnext.export.cloning import rebuild


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Build the network without the batch normalisations that follow convolutions.

    Once trained, `y = gamma * (conv(x) - mean) / sqrt(variance + epsilon) + beta` is a convolution
    with another kernel and a bias, and equal to rounding. Keras has no such step. A sum of
    convolutions (form (a) of the block) is folded too: each kernel is scaled, and one convolution
    gets the bias. A normalisation that follows anything else stays.

    Args:
        model: of the functional API, each layer called once.

    Returns:
        A new network with weights of its own; `model` is left as it is.
    """
    convolutions = _foldable(model)
    folded = {layer.name for layers in convolutions.values() for layer in layers}

    def add_bias(layer, config):
        if layer.name in folded:
            config["use_bias"] = True

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in convolutions else layer(*args, **kwargs)

    result = rebuild(model, add_bias, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in convolutions and layer.name not in folded:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    for name, layers in convolutions.items():
        scale, shift = _scale_and_shift(model.get_layer(name))
        for layer in layers:
            kernel, *bias = layer.get_weights()
            offset = sum(bias) * scale + shift
            result.get_layer(layer.name).set_weights([kernel * scale, offset])
            shift = np.zeros_like(shift)  # one convolution of a sum brings it in
    return result


def _foldable(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """The convolutions that each batch normalisation can go into, by its name."""
    producers = {id(operation.output): operation for operation in model.operations}
    consumers = Counter(map(id, model.outputs))
    for operation in model.operations:
        consumers.update(map(id, keras.tree.flatten(operation.input)))

    def convolutions_behind(tensor) -> list[keras.Layer]:
        producer = producers[id(tensor)]
        if consumers[id(tensor)] != 1:
            return []
        if isinstance(producer, keras.layers.Conv2D):
            return [producer] if producer.activation is keras.activations.linear else []
        if isinstance(producer, keras.layers.Add):
            behind = [convolutions_behind(addend) for addend in producer.input]
            return list(chain(*behind)) if all(behind) else []
        return []

    norms = (x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    found = {norm.name: convolutions_behind(norm.input) for norm in norms}
    return {name: layers for name, layers in found.items() if layers}


def _scale_and_shift(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What inference does to each channel: float64 (channels,) twice."""
    values = {w.name: keras.ops.convert_to_numpy(w).astype(np.float64) for w in norm.weights}
    mean, variance = values["moving_mean"], values["moving_variance"]
    scale = values.get("gamma", 1.0) / np.sqrt(variance + norm.epsilon)
    return scale, values.get("beta", 0.0) - mean * scale
