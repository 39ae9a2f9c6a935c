"""A function and its gradients as each backend compiles them in training."""

from collections.abc import Callable

import keras
import numpy as np


def compiled(function: Callable, *arrays: np.ndarray) -> tuple[Callable, Callable]:
    """Bind `function` to `arrays`.

    Returns:
        `forward()` computes the outputs, `both()` the outputs and the gradients of their sum of
        squares by every array; each returns when the numbers are there.
    """
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def forward():
            return function(*tensors)

        @tf.function
        def both():
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                out = function(*tensors)
            return tape.gradient(out, tensors, out)

        def wait(*outputs):
            for tensor in outputs:  # on a GPU, fetching one number waits for all
                tensor[(0,) * len(tensor.shape)].numpy()

        return lambda: wait(forward()), lambda: wait(*both())
    if backend == "jax":
        import jax

        def gradients(*tensors):
            out, pull_back = jax.vjp(function, *tensors)
            return pull_back(out)

        forward_jit, both_jit = jax.jit(function), jax.jit(gradients)
        return (
            lambda: jax.block_until_ready(forward_jit(*tensors)),
            lambda: jax.block_until_ready(both_jit(*tensors)),
        )
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in tensors]

    def finish():
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def forward_torch():
        with torch.no_grad():
            function(*tensors)
        finish()

    def both_torch():
        out = function(*leaves)
        torch.autograd.grad(out, leaves, out.detach())
        finish()

    return forward_torch, both_torch
