"""TensorFlow's differentiation."""

from collections.abc import Callable

import tensorflow as tf


def outputs_and_gradients(function: Callable):
    """Eagerly, by a tape."""

    def run(cotangent, *tensors):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            outputs = function(*tensors)
        return outputs, tape.gradient(outputs, list(tensors), tf.cast(cotangent, outputs.dtype))

    return run
