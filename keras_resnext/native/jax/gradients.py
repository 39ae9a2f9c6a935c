"""JAX's differentiation."""

from collections.abc import Callable

import jax


def outputs_and_gradients(function: Callable):
    """Compiled once for each shape; weights that `function` uses are constants of the program."""

    @jax.jit
    def run(cotangent, *tensors):
        outputs, pull_back = jax.vjp(function, *tensors)
        return outputs, list(pull_back(cotangent.astype(outputs.dtype)))

    return run
