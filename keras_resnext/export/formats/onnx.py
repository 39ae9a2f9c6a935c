"""ONNX."""

from pathlib import Path

import keras
import torch

from keras_resnext.export.formats.torch_module import TorchModule, example


def write(network: keras.Model, file: Path) -> None:
    """Write ONNX with the input `images` and the output `logits`.

    `network.export(format="onnx")` does not do: for a batch of any size it goes by TorchScript,
    which PyTorch gives up, and the output has a number for a name; under TensorFlow and JAX it
    needs converters that ONNX Runtime or Keras' versions do not get on with.

    Args:
        network: from `from_pixels`, with Keras on PyTorch.
        file: to write, `NAME.onnx`.
    """
    arguments, axes = example(network)
    program = torch.onnx.export(
        TorchModule(network),
        arguments,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=axes,
        dynamo=True,
    )
    assert program is not None  # it is, where no file is named
    program.save(file)
