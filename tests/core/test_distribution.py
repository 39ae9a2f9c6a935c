"""Data parallelism under JAX, on four virtual devices in a process of its own."""

import json
import os
import re
import subprocess
import sys
from itertools import product

import pytest

from keras_resnext import backend

pytestmark = pytest.mark.skipif(backend.NAME != "jax", reason="the HLO is JAX's")


@pytest.fixture(scope="module")
def results():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    result = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_nothing_gathers_activations(results):
    """Only gradients of weights and statistics are exchanged, in the HLO of a gradient."""
    assert len(results) == 12
    for name, exchanged in results.items():
        assert exchanged, name  # or nothing was shared among devices
        for shape, kind in exchanged:
            assert kind.startswith("all-reduce"), name
            # Nothing has an activation's four axes of 8 images, 6 pixels and 32 channels.
            assert "6,6" not in shape, name


def _main():
    """Print the collectives of each layer's compiled gradient, by their shapes and kinds."""
    import jax
    import keras
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from keras_resnext import BatchNorm, GroupedConv2D
    from keras_resnext.backend.lowering import LOWERINGS

    layers = {
        f"{lowering} {kernel}": GroupedConv2D(32, kernel, groups=8, lowering=lowering)
        for lowering, kernel in product(LOWERINGS, (1, 3))
        if (lowering, kernel) != ("matmul", 3)
    }
    layers["batch normalization"] = BatchNorm(synchronized=True)
    x = np.random.default_rng(0).standard_normal((8, 6, 6, 32), np.float32)
    exchanged = {}
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    mesh = distribution.device_mesh.backend_mesh
    for name, layer in layers.items():
        layer.build(x.shape)
        training = {"training": True} if isinstance(layer, BatchNorm) else {}
        weights, rest = (
            [np.asarray(v.value) for v in variables]
            for variables in (layer.trainable_variables, layer.non_trainable_variables)
        )

        def loss(weights, x, rest=rest, layer=layer, training=training):
            out, _ = layer.stateless_call(weights, rest, x, **training)
            return (out**3).sum(), out

        with distribution.scope():
            shared = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
            whole = jax.device_put(weights, NamedSharding(mesh, PartitionSpec()))
            gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
            program = gradient.lower(whole, shared).compile()
        exchanged[name] = re.findall(
            r"= (.*?) (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(", program.as_text()
        )
    print(json.dumps(exchanged))


if __name__ == "__main__":
    _main()
