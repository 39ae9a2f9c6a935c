"""The peer that speed is compared with is the same network."""

import numpy as np
import pytest
import torch

from keras_resnext import ResNeXt
from keras_resnext.benchmark import torch_network


def carry(keras_model, torch_model):
    """Layers in the order of their names' meaning; kernels (kh, kw, I, O) to (O, I, kh, kw)."""
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
    rng = np.random.default_rng(0)
    for layer in keras_model.layers:
        if not layer.weights:
            continue
        module = modules.pop(layer.name)
        arrays = [rng.uniform(0.5, 1.5, w.shape) * 0.5 ** (w.ndim > 1) for w in layer.get_weights()]
        if arrays[0].ndim > 1:
            arrays[0] -= arrays[0].mean()
        layer.set_weights(arrays)
        arrays[0] = arrays[0].transpose((3, 2, 0, 1) if arrays[0].ndim == 4 else None)
        state = list(module.parameters()) + [
            b for n, b in module.named_buffers() if n.startswith("running")
        ]
        for tensor, array in zip(state, arrays, strict=True):
            tensor.data.copy_(torch.from_numpy(np.ascontiguousarray(array)))
    assert not modules


@pytest.mark.parametrize("reduce", ["dense", "grouped"])
def test_same_logits(reduce):
    ours = ResNeXt(
        (1, 2), cardinality=4, reduce=reduce, classes=5, classifier_activation=None,
        input_shape=(9, 8, 3),
    )  # fmt: skip
    theirs = torch_network.ResNeXt((1, 2), 4, grouped_reduce=reduce == "grouped", classes=5)
    carry(ours, theirs)
    x = np.random.default_rng(1).standard_normal((2, 9, 8, 3), np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    actual = ours.predict(x, verbose=0)
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()
