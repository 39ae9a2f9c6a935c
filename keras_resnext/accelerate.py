"""Other people's networks with this package's layers: `accelerate(model)`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import keras

from keras_resnext import backend
from keras_resnext.layers import BatchNorm, GroupedConv2D

Change = Callable[[keras.Layer, dict[str, Any]], type[keras.Layer] | None]


def accelerate(model: keras.Model) -> keras.Model:
    """Return the same network and weights, with this package's layers in place of Keras'.

    Each `keras.layers.Conv2D` of several groups becomes a `GroupedConv2D`, and each
    `keras.layers.BatchNormalization` a `BatchNorm`, in nested models too. Subclasses of
    the two stay, and so does what lies within wrappers (`TimeDistributed`) and layers of your own.

    Args:
        model: functional or `Sequential`, with one input or several. It is left as it is.

    Returns:
        A model with weights of its own that has the same layer names, so weights files of one load
        in the other. It is not compiled.

    Raises:
        ValueError: the model, or one nested in it, is a subclass with a `call` of its own, which
            cannot be rebuilt from its layers; or a layer has no configuration to be built from.

    Example:
        >>> model = accelerate(keras.applications.ResNet50(weights=None))
    """
    originals: list[keras.Layer] = []

    def change(layer, config):
        originals.append(layer)
        if type(layer) is keras.layers.Conv2D and layer.groups > 1:
            return GroupedConv2D
        return BatchNorm if type(layer) is keras.layers.BatchNormalization else None

    clones: dict[int, keras.Layer] = {}
    result = rebuild(model, change, cache=clones)
    if model.built and not result.built:  # a Sequential without an Input
        result.build(model.input_shape)
    for original in originals:
        clone = clones[id(original)]
        clone.set_weights(original.get_weights())
        if isinstance(clone, keras.layers.Normalization):
            clone.finalize_state()
    for part in _models(result):
        if not isinstance(part, keras.Sequential):
            backend.native.release_early(part)
    return result


def rebuild(model: keras.Model, change: Change, **options: Any) -> keras.Model:
    """Build a network and the models nested in it anew, with fresh weights.

    Args:
        model: functional or `Sequential`. Operations such as `keras.ops.split` stay.
        change: gets each layer and its configuration, which it may alter; it may return a class to
            build the layer from instead of its own.
        **options: as for `keras.models.clone_model`.

    Raises:
        ValueError: as for `accelerate`.
    """
    models = list(_models(model))
    for part in models:
        kind = next(kind for kind in type(part).__mro__ if "call" in vars(kind))
        if not kind.__module__.startswith("keras."):
            raise ValueError(
                f"model: {part.name!r} is a {type(part).__name__}, whose layers only its own call "
                "connects; expected a functional or Sequential model. Use GroupedConv2D and "
                "BatchNorm where it makes its layers"
            )

    def clone(layer):
        # A Lambda's code cannot be copied safely, and it has no weights.
        if not isinstance(layer, keras.Layer) or isinstance(layer, keras.layers.Lambda):
            return layer
        try:
            config = layer.get_config()
            return (change(layer, config) or layer.__class__).from_config(config)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"layer {layer.name!r}: a {type(layer).__name__} cannot be built from its "
                "configuration; give it get_config and from_config"
            ) from error

    with ExitStack() as stack:  # Keras would compile anew, where losses of one's own have no name
        for part in models:
            stack.callback(setattr, part, "compiled", part.compiled)
            part.compiled = False
        return keras.models.clone_model(model, clone_function=clone, recursive=True, **options)


def _models(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _models(layer)
