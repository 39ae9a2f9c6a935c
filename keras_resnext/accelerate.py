"""Other people's networks with this package's layers: `accelerate(model)`."""

from collections.abc import Iterator
from contextlib import ExitStack

import keras

from keras_resnext import backend
from keras_resnext.layers import BatchNorm, GroupedConv2D


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
    models = list(_models(model))
    for part in models:
        kind = next(kind for kind in type(part).__mro__ if "call" in vars(kind))
        if not kind.__module__.startswith("keras."):
            raise ValueError(
                f"model: {part.name!r} is a {type(part).__name__}, whose layers only its own call "
                "connects; expected a functional or Sequential model. Use GroupedConv2D and "
                "BatchNorm where it makes its layers"
            )
    pairs: list[tuple[keras.Layer, keras.Layer]] = []

    def clone(layer):
        # A Lambda's code cannot be copied safely, and it has no weights.
        if not isinstance(layer, keras.Layer) or isinstance(layer, keras.layers.Lambda):
            return layer
        kind = type(layer)
        if kind is keras.layers.Conv2D and layer.groups > 1:
            kind = GroupedConv2D
        elif kind is keras.layers.BatchNormalization:
            kind = BatchNorm
        try:
            pairs.append((layer, kind.from_config(layer.get_config())))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"layer {layer.name!r}: a {type(layer).__name__} cannot be built from its "
                "configuration; give it get_config and from_config"
            ) from error
        return pairs[-1][1]

    with ExitStack() as stack:  # Keras would compile anew, where losses of one's own have no name
        for part in models:
            stack.callback(setattr, part, "compiled", part.compiled)
            part.compiled = False
        result = keras.models.clone_model(model, clone_function=clone, recursive=True)
    if model.built and not result.built:  # a Sequential without an Input
        result.build(model.input_shape)
    for layer, copy in pairs:
        copy.set_weights(layer.get_weights())
        if isinstance(copy, keras.layers.Normalization):
            copy.finalize_state()
    for part in _models(result):
        if not isinstance(part, keras.Sequential):
            backend.native.run_lean(part)
    return result


def _models(model: keras.Model) -> Iterator[keras.Model]:
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _models(layer)
