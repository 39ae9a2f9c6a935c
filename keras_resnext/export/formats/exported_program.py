"""PyTorch's ExportedProgram, `.pt2`."""

from pathlib import Path

import keras
import torch

from keras_resnext.export.formats.torch_module import TorchModule, example


def write(network: keras.Model, file: Path) -> None:
    """Write a program that `torch.export.load` loads.

    `network.export(format="torch")` stores each weight twice.

    Args:
        network: from `from_pixels`, with Keras on PyTorch.
        file: to write, `NAME.pt2`.
    """
    arguments, axes = example(network)
    program = torch.export.export(TorchModule(network), arguments, dynamic_shapes=axes)
    torch.export.save(program, file)
