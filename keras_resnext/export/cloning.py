"""A network built again from its layers' configurations."""

from collections.abc import Callable
from typing import Any

import keras

Change = Callable[[keras.Layer, dict[str, Any]], type[keras.Layer] | None]


def rebuild(model: keras.Model, change: Change, **options: Any) -> keras.Model:
    """Build a network anew, with fresh weights; operations such as `keras.ops.split` stay.

    Args:
        model: of the functional API.
        change: gets each layer and its configuration, which it may alter; it may return a class to
            build the layer of instead of its own.
        **options: as of `keras.models.clone_model`.
    """

    def clone(layer):
        if not isinstance(layer, keras.Layer):
            return layer
        config = layer.get_config()
        kind = change(layer, config) or layer.__class__
        return kind.from_config(config)

    return keras.models.clone_model(model, clone_function=clone, **options)
