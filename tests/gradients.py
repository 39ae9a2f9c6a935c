"""Outputs and gradients on whichever backend is active; the one helper that tests share."""

import keras
import numpy as np
from keras import ops


def outputs_and_gradients(function, cotangent, *arrays):
    """Call `function(*tensors)`; gradients of `sum(outputs * cotangent)` for every array.

    The cotangent is cast to the outputs' dtype. Returns NumPy arrays, float32 where the backend
    computed in half precision.
    """
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            out = function(*tensors)
        gradients = tape.gradient(out, tensors, ops.cast(cotangent, out.dtype))
    elif backend == "jax":
        import jax

        @jax.jit
        def run(*tensors):
            out, pull_back = jax.vjp(function, *tensors)
            return out, pull_back(ops.cast(cotangent, out.dtype))

        out, gradients = run(*tensors)
    else:
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        out = function(*tensors)
        out.backward(ops.cast(cotangent, keras.backend.standardize_dtype(out.dtype)))
        gradients = [tensor.grad for tensor in tensors]
    return _numpy(out), [_numpy(gradient) for gradient in gradients]


def _numpy(tensor):
    if keras.backend.standardize_dtype(tensor.dtype) in ("bfloat16", "float16"):
        tensor = ops.cast(tensor, "float32")
    return ops.convert_to_numpy(tensor)


def relative_error(actual, expected):
    """Largest difference, by the largest expected value."""
    expected = np.asarray(expected, np.float64)
    return np.abs(actual - expected).max() / np.abs(expected).max()
