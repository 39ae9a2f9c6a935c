"""The active backend's own operations, reached without what Keras wraps around them.

The one place with backend-specific code. Each backend's module offers the same names:

`DEVICES`: kinds of device that the lowerings tell apart; `"cpu"` is always one.
`convolution(x, kernel, geometry)`: the backend's own convolution, grouped or not; the kernel is
    (height, width, in_channels / groups, out_channels).
`by_device(x, kernel, ways)`: `ways[device](x, kernel)` for the device that computes.
`batch_normalize(x, gamma, beta, axis, epsilon)`: normalise by the batch's own mean and biased
    variance; `(outputs, mean, unbiased variance)`, the statistics in float32 or wider and without
    gradient.
"""

import keras

BACKEND = keras.config.backend()

if BACKEND == "tensorflow":
    from keras_resnext.lowering.native.tensorflow import (
        DEVICES,
        batch_normalize,
        by_device,
        convolution,
    )
elif BACKEND == "jax":
    from keras_resnext.lowering.native.jax import DEVICES, batch_normalize, by_device, convolution
elif BACKEND == "torch":
    from keras_resnext.lowering.native.torch import (
        DEVICES,
        batch_normalize,
        by_device,
        convolution,
    )
else:
    raise ImportError(
        f"keras_resnext runs on the Keras backends tensorflow, jax and torch; the active one is "
        f"{BACKEND!r}. Set KERAS_BACKEND to one of the three before Python starts."
    )

__all__ = ["BACKEND", "DEVICES", "batch_normalize", "by_device", "convolution"]
