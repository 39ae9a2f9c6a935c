"""The active backend's own side of things, reached without what Keras wraps around it.

The one place with backend-specific code. Each backend has the same modules:

`operations`: convolution and normalisation.
    `DEVICES`: kinds of device that the lowerings tell apart; `"cpu"` is always one.
    `convolution(x, kernel, geometry)`: the backend's own convolution, grouped or not; the kernel
        is (height, width, in_channels / groups, out_channels).
    `by_device(x, kernel, ways)`: `ways[device](x, kernel)` for the device that computes.
    `batch_normalize(x, gamma, beta, axis, epsilon, synchronized)`: normalise by the mean and
        biased variance of each replica's part of the batch, or of all of it if synchronized;
        `(outputs, mean, unbiased variance)`, the statistics averaged over the replicas, in float32
        or wider and without gradient.

`gradients`: differentiation.
    `outputs_and_gradients(function)`: a function of `(cotangent, *tensors)`, to be kept, that gives
        `function(*tensors)`, and the gradients of `sum(outputs * cotangent)` for all the tensors.

`machine`: what it computes on.
    `accelerators()`: names of the GPUs and TPUs that it sees.
    `computes_bfloat16()`: whether the accelerators do so in hardware.
    `make_deterministic()`: from now on, the same program gives the same bits.

`replicas`: training on several devices.
    `WHOLE_GRADIENT`: whether an optimizer clips, accumulates and checks the gradient of the whole
        batch, not that of each replica's part.
    `start(devices, distributed)`: take so many devices of this host, and join the other processes
        if distributed; `Replicas`. A ValueError says what is missing.
    `synchronise(model)`: let the steps of a compiled model, whose weights are to be those of the
        first process, follow the mean gradient of all processes.
    `callbacks()`: those that `fit` needs first in its list, to report metrics of all processes.
    `largest(value)`: the largest number that any process calls this with; all must call it.
    `tells_of_loss(error)`: whether an exception says that another process is gone.
"""

from importlib import import_module

import keras

BACKEND = keras.config.backend()

if BACKEND not in ("tensorflow", "jax", "torch"):
    raise ImportError(
        f"keras_resnext runs on the Keras backends tensorflow, jax and torch; the active one is "
        f"{BACKEND!r}. Set KERAS_BACKEND to one of the three before Python starts."
    )

gradients = import_module(f"keras_resnext.native.{BACKEND}.gradients")
machine = import_module(f"keras_resnext.native.{BACKEND}.machine")
operations = import_module(f"keras_resnext.native.{BACKEND}.operations")
replicas = import_module(f"keras_resnext.native.{BACKEND}.replicas")

__all__ = ["BACKEND", "gradients", "machine", "operations", "replicas"]
