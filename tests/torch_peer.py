"""Which module of the plain PyTorch network holds what a layer of ours holds."""

import numpy as np
import torch


def modules_by_layer(torch_model, keras_model):
    """PyTorch's modules by our layers' names, for every layer with weights."""
    modules = {"stem_conv": torch_model.stem[0], "stem_bn": torch_model.stem[1]}
    names = [n.name for n in keras_model.layers if n.name.endswith("_add")]
    for name, block in zip(names, torch_model.blocks, strict=True):
        prefix = name.removesuffix("_add")
        for i in (1, 2, 3):
            modules[f"{prefix}_conv{i}"] = getattr(block, f"conv{i}")
            modules[f"{prefix}_bn{i}"] = getattr(block, f"bn{i}")
        if len(block.shortcut):
            modules[f"{prefix}_shortcut_conv"], modules[f"{prefix}_shortcut_bn"] = block.shortcut
    modules["predictions"] = torch_model.predictions
    assert modules.keys() == {layer.name for layer in keras_model.layers if layer.weights}
    return modules


def tensors(module):
    """Its weights and moving statistics, in the order of a Keras layer's."""
    running = [b for name, b in module.named_buffers() if name.startswith("running")]
    return [*module.parameters(), *running]


def to_torch(array):
    """Kernels: (height, width, in, out) to (out, in, height, width), (in, out) to (out, in)."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,))
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))


def carry(keras_model, torch_model):
    """Set the PyTorch network's weights to ours."""
    modules = modules_by_layer(torch_model, keras_model)
    for name, module in modules.items():
        arrays = keras_model.get_layer(name).get_weights()
        for tensor, array in zip(tensors(module), arrays, strict=True):
            tensor.data.copy_(to_torch(array))
