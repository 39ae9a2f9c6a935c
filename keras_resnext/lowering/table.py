"""Which lowering `"auto"` stands for: one table, chosen from `scripts/benchmark.py`."""

from collections.abc import Callable
from typing import NamedTuple

from keras_resnext.lowering.geometry import Geometry


class Row(NamedTuple):
    """What one backend does best with some convolutions on one kind of device."""

    backend: str
    device: str
    fits: Callable[[Geometry], bool]
    lowering: str


def _pointwise(geometry: Geometry) -> bool:
    return geometry.is_pointwise


def _grouped(geometry: Geometry) -> bool:
    return geometry.groups > 1


# The first row that fits counts; where none does, the backend's own convolution is best.
TABLE = (
    Row("jax", "cpu", _pointwise, "matmul"),
    Row("jax", "cpu", _grouped, "packed"),
    Row("tensorflow", "cpu without grouped gradient", _grouped, "packed"),
)


def choose(backend: str, device: str, geometry: Geometry) -> str:
    """Name the lowering for one convolution.

    Args:
        backend: `"tensorflow"`, `"jax"` or `"torch"`.
        device: one of `native.operations.DEVICES` of that backend.
        geometry: the convolution.
    """
    for row in TABLE:
        if (row.backend, row.device) == (backend, device) and row.fits(geometry):
            return row.lowering
    return "native"
