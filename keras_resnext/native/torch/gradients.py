"""PyTorch's differentiation."""

from collections.abc import Callable

import torch


def outputs_and_gradients(function: Callable):
    """Those of the tensors alone: none is left behind in the weights that `function` uses."""

    def run(cotangent, *tensors):
        inputs = [tensor.detach().requires_grad_() for tensor in tensors]
        outputs = function(*inputs)
        gradients = torch.autograd.grad(outputs, inputs, cotangent.to(outputs))
        return outputs.detach(), list(gradients)

    return run
