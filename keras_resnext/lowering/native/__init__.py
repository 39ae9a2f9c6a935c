"""The active backend's own operations, reached without what Keras wraps around them.

The one place with backend-specific arithmetic. Each backend's module offers the same functions:

`convolution(x, kernel, geometry)`: the backend's convolution, grouped or not; the kernel is
    (height, width, in_channels / groups, out_channels).
`normalize(x, gamma, beta, axis, epsilon)`: batch normalisation by the batch's own statistics,
    `(outputs, mean, biased variance)`, the statistics float32 and without gradient.
`by_device(x, kernel, cpu, other)`: `cpu(x, kernel)` where the computation runs on a CPU, else
    `other(x, kernel)`.
"""

import keras

BACKEND = keras.config.backend()

if BACKEND == "tensorflow":
    from keras_resnext.lowering.native.tensorflow import by_device, convolution, normalize
elif BACKEND == "jax":
    from keras_resnext.lowering.native.jax import by_device, convolution, normalize
elif BACKEND == "torch":
    from keras_resnext.lowering.native.torch import by_device, convolution, normalize
else:
    raise ImportError(
        f"keras_resnext runs on the Keras backends tensorflow, jax and torch; the active one is "
        f"{BACKEND!r}. Set KERAS_BACKEND to one of the three before Python starts."
    )

__all__ = ["BACKEND", "by_device", "convolution", "normalize"]
