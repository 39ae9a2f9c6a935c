"""Outputs and gradients on whichever backend is active; the one helper that tests share."""

import keras
import numpy as np
from keras import ops

from keras_resnext import backend


def outputs_and_gradients(function, cotangent, *arrays):
    """Call `function(*tensors)`; gradients of `sum(outputs * cotangent)` for every array.

    The cotangent is cast to the outputs' dtype. Returns NumPy arrays, float32 where the backend
    computed in half precision.
    """
    run = backend.native.outputs_and_gradients(function)
    out, gradients = run(*map(ops.convert_to_tensor, (cotangent, *arrays)))
    return _numpy(out), [_numpy(gradient) for gradient in gradients]


def _numpy(tensor):
    if keras.backend.standardize_dtype(tensor.dtype) in ("bfloat16", "float16"):
        tensor = ops.cast(tensor, "float32")
    return ops.convert_to_numpy(tensor)


def relative_error(actual, expected):
    """Largest difference, by the largest expected value."""
    expected = np.asarray(expected, np.float64)
    return np.abs(actual - expected).max() / np.abs(expected).max()
