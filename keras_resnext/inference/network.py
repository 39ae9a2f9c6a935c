"""Any Keras model built on ours as one flat network, which inference and export can handle."""

import re
from collections.abc import Callable
from itertools import chain, count
from typing import Any

import keras

from keras_resnext import backend

INACTIVE = ("Random", "RandAugment", "AugMix", "GaussianNoise", "ActivityRegularization")
"""Beginnings of the names of layers that do nothing in inference, as all with Dropout in them."""

Change = Callable[[keras.Layer, dict[str, Any]], type[keras.Layer] | None]


def rebuild_flat(
    model: keras.Model,
    change: Change = lambda layer, config: None,
    skip: Callable[[keras.Layer], bool] = lambda layer: False,
    enter: Callable[[Any], Any] = lambda images: images,
) -> keras.Model:
    """Return a copy in which the layers of nested models stand side by side, weights copied.

    Args:
        model: functional or Sequential, built, with one input and one output.
        change: gets each layer and its configuration, which it may alter; may return a class to
            build the copy from.
        skip: says which layers pass their input on instead of being called.
        enter: what images go through before the first layer.

    Raises:
        ValueError: it is something else, or a layer cannot be copied; quantized ones cannot.
    """
    copies: dict[int, tuple[Any, Any]] = {}
    names = {"images"}

    def copy(operation):
        """Once per layer, since a layer may be called several times."""
        if isinstance(operation, keras.Model):
            return operation
        if id(operation) not in copies:
            copies[id(operation)] = operation, _copied(operation, change, names)
        return copies[id(operation)]

    def call(pair, *args, **kwargs):
        if isinstance(pair, keras.Model):
            return inline(pair, args[0])
        layer, copied = pair
        if skip(layer) or _is_inactive(layer):
            return args[0]
        # Keras records a layer's default, and overrides it where a model is called.
        return copied(*args, **kwargs | ({"training": False} if "training" in kwargs else {}))

    def inline(part, inputs):
        check_functional(part)
        graph = keras.Model(part.inputs, part.outputs)  # a Sequential, too, and never compiled
        return graph._run_through_graph(inputs, operation_fn=copy, call_fn=call)[0]

    check_functional(model)
    images = keras.Input(model.inputs[0].shape[1:], name="images", dtype="float32")
    result = keras.Model(images, inline(model, enter(images)), name=model.name)
    backend.native.run_lean(result)
    for layer, copied in copies.values():
        expected, found = len(getattr(layer, "weights", ())), len(getattr(copied, "weights", ()))
        if 0 < found < expected:
            raise ValueError(
                f"model: layer {layer.name!r} has {expected} weights, where a "
                f"{type(layer).__name__} has {found}; give the model as it was before quantize()"
            )
        if 0 < found == expected:
            copied.set_weights(layer.get_weights())
        if isinstance(copied, keras.layers.Normalization):
            copied.finalize_state()
    return result


def check_functional(model: keras.Model) -> None:
    """Raise a ValueError if a model is no graph of layers from one input to one output."""
    name = getattr(model, "name", model)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            f"model: expected a functional or Sequential Keras model that knows its input, got "
            f"{name!r}; put keras.Input(shape) first, or call it once on images"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model: expected one input and one output, got {name!r} with {len(model.inputs)} and "
            f"{len(model.outputs)}"
        )


def head_of(model: keras.Model) -> Any:
    """Return the layer or operation, in nested models too, that puts the scores out.

    What passes them on is none: under mixed precision Activation("linear", dtype="float32").
    """
    operation = model
    while True:
        if isinstance(operation, keras.Model):
            check_functional(operation)
            (tensor,) = operation.outputs
        elif _passes_on(operation):
            tensor = operation.input
        else:
            return operation
        operation = tensor._keras_history.operation


def output_activation(model: keras.Model) -> str:
    """Return what the last layer applies: "softmax", "sigmoid", "linear" or another's name.

    "log_softmax" is "linear" too, for the softmax of both is the same.
    """
    head = head_of(model)
    if type(head).__name__ in ("Softmax", "Sigmoid"):  # layers or operations
        return type(head).__name__.lower()
    activation = getattr(head, "activation", None) or keras.activations.linear
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    return "linear" if name == "log_softmax" else name


def logits_network(model: keras.Model, change: Change = lambda layer, config: None) -> keras.Model:
    """Return a classifier, rebuilt flat in float32, without the softmax or sigmoid at its end.

    Returns:
        From images, float32, as `model` takes them, to logits, float32 (batch, classes).
    """
    head = head_of(model)
    final = output_activation(model)

    def to_logits(layer, config):
        config["dtype"] = "float32"
        if layer is head and final in ("softmax", "sigmoid"):
            config["activation"] = "linear"
        return change(layer, config)

    def gives_probabilities(layer):
        return layer is head and type(layer).__name__ in ("Softmax", "Sigmoid")

    return rebuild_flat(model, to_logits, gives_probabilities)


def _passes_on(operation):
    plain = getattr(operation, "activation", None) is keras.activations.linear
    is_activation = isinstance(operation, keras.layers.Activation)
    return (is_activation and plain) or type(operation).__name__ in ("Identity", "Cast")


def _is_inactive(layer):
    name = type(layer).__name__
    known = name.startswith(INACTIVE) or "Dropout" in name
    # At inference RandomCrop crops the middle.
    return known and name != "RandomCrop" and type(layer).__module__.startswith("keras.")


def _copied(operation, change, names):
    plain = re.sub(r"\W", "_", operation.name, flags=re.ASCII)  # graphs of TensorFlow need that
    every = chain([plain], (f"{plain}_{number}" for number in count(2)))
    name = next(name for name in every if name not in names)
    names.add(name)
    if not isinstance(operation, keras.Layer) and name == operation.name:
        return operation
    try:
        config = operation.get_config()
    except NotImplementedError as error:
        raise _no_copy(operation, error) from error
    kind = type(operation)
    if isinstance(operation, keras.Layer):
        kind = change(operation, config) or kind
    config["name"] = name
    for key in config:  # weights are copied, and what is the user's own is not known elsewhere
        if key.endswith("_initializer"):
            config[key] = "zeros"
        elif key.endswith(("_regularizer", "_constraint")):
            config[key] = None
    try:
        return kind.from_config(config)
    except Exception as error:
        raise _no_copy(operation, error) from error


def _no_copy(operation, error):
    return ValueError(
        f"model: layer {operation.name!r} of {type(operation).__name__} cannot be copied from its "
        f"get_config(): {str(error).strip().splitlines()[0]}"
    )
