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
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_nothing_gathers_activations(results):
    """Only gradients of weights and statistics are exchanged, in the HLO of a gradient."""
    assert len(results["exchanged"]) == 13
    for name, shapes in results["exchanged"].items():
        assert results["gathers"][name] == [], name
        assert shapes, name  # or nothing was shared among devices
        # Nothing has an activation's four axes of 8 images, 6 pixels and 32 channels.
        assert all("6,6" not in shape for shape in shapes), (name, shapes)


def test_same_outputs_and_gradients_as_one_device(results):
    for name, difference in results["differences"].items():
        assert difference < (2**-7 if "bfloat16" in name else 1e-5), name


def _main():
    """Print facts of each layer: collectives of its compiled gradient, differences."""
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
    layers["matmul in bfloat16"] = GroupedConv2D(32, 1, dtype="mixed_bfloat16")
    layers["batch normalization"] = BatchNorm(synchronized=True)
    x = np.random.default_rng(0).standard_normal((8, 6, 6, 32), np.float32)
    facts = {"exchanged": {}, "gathers": {}, "differences": {}}
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

        expected = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(weights, x)
        with distribution.scope():
            shared = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
            step = jax.jit(jax.grad(lambda *a, loss=loss: loss(*a), (0, 1), has_aux=True))
            whole = jax.device_put(weights, NamedSharding(mesh, PartitionSpec()))
            program = step.lower(whole, shared).compile()
        collectives = re.findall(
            r"= (.*?) (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(", program.as_text()
        )
        facts["exchanged"][name] = [shape for shape, _ in collectives]
        facts["gathers"][name] = [s for s, kind in collectives if not kind.startswith("all-red")]
        facts["differences"][name] = max(
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(*map(jax.tree.leaves, (program(whole, shared), expected)), strict=True)
        )
    print(json.dumps(facts))


if __name__ == "__main__":
    _main()
