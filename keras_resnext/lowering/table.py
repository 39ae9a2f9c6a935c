"""Which lowering `"auto"` means: one table, chosen from `scripts/benchmark.py`."""

from keras_resnext.lowering.geometry import Geometry


def choose(backend: str, device: str, geometry: Geometry) -> str:
    if backend == "jax" and device == "cpu":
        if geometry.is_pointwise:
            return "matmul"
        if geometry.groups > 1:
            return "packed"
    return "native"
