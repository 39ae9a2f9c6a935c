import keras
import numpy as np
import pytest
from keras import ops

from keras_resnext.native import gradients
from tests.gradients import outputs_and_gradients

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
Y = np.array([[5.0, 7.0]], np.float32)
COTANGENT = np.array([[1.0, 10.0], [0.0, -1.0]], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equal_calculus(dtype):
    """The cotangent is float32 all the same."""

    def function(x, y):
        return ops.cast(x, dtype) ** 2 * ops.cast(y, dtype)

    outputs, (by_x, by_y) = outputs_and_gradients(function, COTANGENT, X, Y)
    np.testing.assert_array_equal(outputs, X**2 * Y)
    np.testing.assert_array_equal(by_x, COTANGENT * 2 * X * Y)
    np.testing.assert_array_equal(by_y, (COTANGENT * X**2).sum(0, keepdims=True))


def test_of_a_layer_by_several_batches():
    """Another size compiles anew, and PyTorch accumulates nothing in the weights."""
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    run = gradients.outputs_and_gradients(layer)
    for rows in (2, 1, 2):
        _, (gradient,) = run(*map(ops.convert_to_tensor, (COTANGENT[:rows], X[:rows])))
        expected = COTANGENT[:rows] @ ops.convert_to_numpy(layer.kernel).T
        np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, rtol=1e-5)
    assert getattr(layer.kernel.value, "grad", None) is None
