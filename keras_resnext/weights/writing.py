"""Tensors by name, into files of PyTorch and safetensors."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_resnext.files import written_whole


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors, whole or not at all.

    The libraries write to memory, which takes as much again: on a full disk they do not raise an
    `OSError`.

    Args:
        path: `NAME.safetensors`, or `NAME.pth` for `torch.load`; the folder exists.
        tensors: by name, of any shape.

    Raises:
        ValueError: the name ends otherwise.
        ImportError: what writes such a file is not installed.
        OSError: as `written_whole`.
    """
    path = Path(path)
    write = {".safetensors": _write_safetensors, ".pth": _write_torch}.get(path.suffix)
    if write is None:
        raise ValueError(f"expected a name that ends in .safetensors or .pth, got {path.name}")
    write(path, tensors)


def _write_safetensors(path, tensors):
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError(
            f'{path} needs safetensors. Type: pip install "keras-resnext[weights]"'
        ) from error
    content = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def _write_torch(path, tensors):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f'{path} needs PyTorch: pip install "keras-resnext[torch]". Or write NAME.safetensors, '
            "which timm loads as well"
        ) from error
    memory = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in tensors.items()}, memory)
    with written_whole(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
