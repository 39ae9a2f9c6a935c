"""How much a network computes for one image, counted from its graph."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import prod

import keras
from keras import layers

COUNTED = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds (MACs) of one image's way through a network.

    Convolutions, grouped or not, and dense layers count, as in torchvision's tables; biases,
    normalisation, activations and pooling do not. Keras has nothing of the kind: TensorFlow's
    profiler counts under TensorFlow only.

    Args:
        model: of the functional API, built for images of a known size. A layer that is called twice
            counts twice. The values of its weights do not matter.

    Raises:
        ValueError: it is another kind of model, a size is unknown, or a layer with weights is of a
            kind that is not counted; the message names it.
    """
    if not hasattr(model, "operations"):
        raise ValueError(f"model: expected one of the functional API, got {model.name!r}")
    by_name = {layer.name: layer for layer in model.layers}
    return sum(
        _of_call(by_name[entry["name"]], node)
        for entry in model.get_config()["layers"]
        if entry["name"] in by_name  # others are operations such as `keras.ops.split`
        for node in entry["inbound_nodes"]
    )


def without_values(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a network whose variables have shapes, but take no memory.

    It is good for counting only. Keras defers the values of variables made in a
    `keras.StatelessScope`, and keeps a list of them, by thread, to make up for it later: here the
    list ends with its thread.

    Args:
        build: what builds it. Keras' settings by thread (the global dtype policy) are not seen.
    """

    def deferred():
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(deferred).result()


def _of_call(layer, node):
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if not isinstance(layer, COUNTED):
        if any(len(weight.shape) > 1 for weight in layer.weights):
            raise ValueError(
                f"layer {layer.name!r}: a {type(layer).__name__} cannot be counted; convolutions "
                "and dense layers can"
            )
        return 0
    inputs = (*node["args"], *node["kwargs"].values())[0]
    shape = layer.compute_output_shape(inputs["config"]["shape"])[1:]
    if None in shape:
        raise ValueError(
            f"layer {layer.name!r} puts out {shape}, of unknown size: build the model with an "
            "input_shape that gives height and width"
        )
    # Each number of the output is a sum over all axes of the kernel but its last, the output's.
    return prod(shape) * prod(layer.kernel.shape[:-1])
