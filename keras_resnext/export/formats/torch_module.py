"""A network as PyTorch's exporters want it."""

import keras
import torch


class TorchModule(torch.nn.Module):
    """A network as a module that holds each weight once.

    A Keras model is a module too, but hides its tensors from PyTorch behind variables: the exporter
    stores them all again, as constants.

    Args:
        network: with Keras on PyTorch.
    """

    def __init__(self, network: keras.Model):
        super().__init__()
        self._call = network.stateless_call
        self._trainable = _parameters(network.trainable_variables)
        self._others = _parameters(network.non_trainable_variables)
        self.eval()

    def forward(self, images):
        """Compute the outputs of inference."""
        outputs, _ = self._call(list(self._trainable), list(self._others), images, training=False)
        return outputs


def _parameters(variables):
    return torch.nn.ParameterList(variable.value.detach() for variable in variables)


def example(network: keras.Model) -> tuple[tuple, tuple]:
    """What an exporter traces with.

    Returns:
        The arguments, and of each the axes that may have any size. Two images, since PyTorch takes
        an axis of length 1 for a constant (pytorch issue 176349, which Keras' exporters cite).
    """
    batch = torch.export.Dim("batch", min=1)
    return (torch.zeros((2, *network.input_shape[1:])),), ({0: batch},)
