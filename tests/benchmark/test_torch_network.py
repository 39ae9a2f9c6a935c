"""The peer that speed is compared with is the same network."""

import numpy as np
import pytest
import torch

from keras_resnext import ResNeXt
from keras_resnext.benchmark import torch_network
from tests.torch_peer import carry


@pytest.mark.parametrize("reduce", ["dense", "grouped"])
def test_same_logits(reduce):
    ours = ResNeXt(
        (1, 2),
        cardinality=4,
        reduce=reduce,
        classes=5,
        classifier_activation=None,
        input_shape=(9, 8, 3),
    )
    rng = np.random.default_rng(0)
    for layer in ours.layers:
        if len(layer.weights) == 4:  # batch normalisation
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    theirs = torch_network.ResNeXt((1, 2), 4, grouped_reduce=reduce == "grouped", classes=5)
    carry(ours, theirs)
    x = rng.standard_normal((2, 9, 8, 3), np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    actual = ours.predict(x, verbose=0)
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()
