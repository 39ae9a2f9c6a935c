"""Arrays out of a file of strangers, as the rest of the package takes them."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np


class WeightsError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


def check_total(path: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    """Make sure, before any array is made, that a file holds what it says.

    A few bytes can describe any number of elements: by strides of 0, by storages that are shared,
    by compression. No kind of weights takes less than a byte an element.

    Raises:
        WeightsError: they are more elements than the file has bytes.
    """
    elements, size = sum(math.prod(shape) for shape in shapes), path.stat().st_size
    if elements > size:
        raise WeightsError(
            f"it describes {elements:,} elements in {size:,} bytes, so that it was made to fill "
            "the memory; no tensor was read"
        )


def plain(name: str, array: np.ndarray) -> np.ndarray:
    """Lay an array out in C's order and native bytes; half precision and bfloat16 become float32.

    Args:
        name: of the tensor, for messages.
        array: any shape; it is not copied where it need not be.

    Raises:
        WeightsError: it holds something else than floating-point numbers, integers or truth values.
    """
    half = array.dtype.name in ("float16", "bfloat16")
    dtype = np.dtype(np.float32) if half else array.dtype.newbyteorder("=")
    if dtype.kind not in "fiub":
        raise WeightsError(
            f"tensor {name!r} is of dtype {array.dtype.name}; expected floating-point numbers, "
            "integers or truth values. Convert it to float32 first"
        )
    return np.asarray(array, dtype, order="C")
