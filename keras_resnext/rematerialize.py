"""Training in less memory: `rematerialize(model)`."""

from typing import Any

import keras
from keras import ops

from keras_resnext import backend
from keras_resnext.features import BLOCK_END, STEM_END, feature_info


def rematerialize(model: keras.Model) -> None:
    """Let training keep only what passes from block to block, and compute the rest of each again.

    The gradient then takes one more forward pass, and has the same values up to rounding;
    docs/performance.md has the time and memory of each backend. Keras' own `RematScope` works layer
    by layer and keeps the input of each, which is nearly everything here.

    Args:
        model: built by `keras_resnext`, nested in another or not, compiled or not; it is changed. A
            saved model does not remember.

    Raises:
        ValueError: it is another model.

    Under JAX on a CPU, XLA moves the second computation up to the first, and nothing is gained,
    unless the environment variable XLA_FLAGS has `backend.jax.SCHEDULER`, as the command
    `keras-resnext` sees to.

    Source: Chen et al., "Training deep nets with sublinear memory cost" (2016), which PyTorch calls
    checkpointing and JAX rematerialization.
    """
    *blocks, head = segments(model)
    whole = model.call

    def call(inputs, training=None, mask=None):
        if not training:
            return whole(inputs, training=training, mask=mask)
        for block in blocks:
            inputs = _recomputed(block, inputs)
        return head(inputs, training=True)

    model.call = call


def segments(model: keras.Model) -> list[keras.Model]:
    """Cut a ResNeXt, by the same layers: the stem's convolutions, each block, and what follows."""
    feature_info(model)
    found, start = [], model.input
    for layer in model.layers:
        if layer.name == STEM_END or BLOCK_END.fullmatch(layer.name):
            found.append(keras.Model(start, layer.output))
            start = layer.output
    end = keras.layers.Identity()(start) if start is model.output else model.output
    return [*found, keras.Model(start, end)]


def _recomputed(block: keras.Model, inputs: Any) -> Any:
    """Train a block on a batch, to be computed again for the gradient.

    The statistics that it changes are its outputs, since each batch counts once.
    """
    trained, others = block.trainable_variables, block.non_trainable_variables

    def compute(inputs, *values):
        parts = values[: len(trained)], values[len(trained) :]
        outputs, updated = block.stateless_call(*parts, inputs, training=True)
        return outputs, *updated

    # Copies of those that change before the gradient is computed.
    values = [*map(ops.convert_to_tensor, trained), *map(ops.copy, others)]
    outputs, *updated = backend.native.recompute(compute)(inputs, *values)
    for variable, value in zip(others, updated, strict=True):
        variable.assign(value)
    return outputs
