"""Tensors by name, out of any file of weights that is not Keras 3's."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_resnext.weights.arrays import WeightsError, plain
from keras_resnext.weights.old_keras import read_old_keras
from keras_resnext.weights.torch_file import read_torch

EXPECTED = "expected a file of PyTorch, of safetensors, or of weights of tf.keras (.h5)"
# What lies where weights should, by its first bytes.
_MISTAKEN = (
    (rb"\Z", "empty; download it again"),
    (
        rb"\s*<(!doctype|html|head|\?xml)",
        "a web page; download the file itself, as a browser does by a link named Download or Raw",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch the file itself by `git lfs pull`"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", "a packed archive; unpack it and give what is in it"),
)
# DistributedDataParallel and torch.compile, one around the other: timm's `clean_state_dict`.
_WRAPPED = re.compile(r"(_orig_mod\.)?(module\.)?(_orig_mod\.)?")


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a file by what it holds, whatever its name. No code in it is run.

    Args:
        path: a file of PyTorch (a state dict, or a training's checkpoint with one), of safetensors,
            or of tf.keras (weights or a whole model).

    Returns:
        Arrays in C's order and native bytes, half precision and bfloat16 as float32; they may be
        read-only, and share memory. Names as in the file, without the prefixes of
        DistributedDataParallel and torch.compile; those of tf.keras are "LAYER/WEIGHT".

    Raises:
        ValueError: it cannot be read; the message says what it is and what to do.
        ImportError: it is of safetensors, which is not installed; the message names the extra.
    """
    path = Path(path).expanduser()
    try:
        with open(path, "rb") as file:
            head = file.read(512)
        tensors = _reader(head)(path)
    except OSError as error:
        raise ValueError(f"weights: {path} cannot be read: {error.strerror or error}") from error
    except WeightsError as error:
        raise ValueError(f"weights: {path}: {error}") from error
    return {_WRAPPED.sub("", name, count=1): array for name, array in tensors.items()}


def _reader(head: bytes) -> Callable[[Path], dict[str, np.ndarray]]:
    for pattern, found in _MISTAKEN:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            raise WeightsError(f"{found} ({EXPECTED})")
    if head.startswith(b"\x89HDF"):
        return read_old_keras
    if head.startswith((b"PK", b"\x80")):
        return read_torch
    if head[8:9] == b"{":
        return _read_safetensors
    raise WeightsError(f"it begins with {head[:16]!r}; {EXPECTED}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            f'{path} needs safetensors. Type: pip install "keras-resnext[weights]"'
        ) from error
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: plain(name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise WeightsError(f"damaged or incomplete; download it again ({error})") from error
    except (AttributeError, TypeError) as error:
        raise WeightsError(
            f"it holds numbers of a kind that NumPy has not ({error}); make them float32 first"
        ) from error
