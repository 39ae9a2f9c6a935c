"""State dicts in PyTorch's files."""

import argparse
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.weights import torch_pickle
from keras_resnext.weights.arrays import WeightsError, check_total, plain

# Where trainings keep weights, the best first: timm's `load_state_dict` has this order.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict, or that of a training's checkpoint, by `torch.load(weights_only=True)`.

    Where PyTorch is not installed, or refuses the file over many lines, `read_without_torch` reads
    it, or says in one why not. A training's options may be in an `argparse.Namespace`, as timm
    allows too.

    Raises:
        WeightsError: as `read_without_torch`.
    """
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            torch_pickle.check_archive(path)
    if find_spec("torch") is None:
        return read_without_torch(path)
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # what they announce, the errors say
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return read_without_torch(path)
    tensors = _state_dict(content, torch.Tensor)
    check_total(path, (tuple(tensor.shape) for tensor in tensors.values()))
    return {name: plain(name, _numpy(name, tensor)) for name, tensor in tensors.items()}


def read_without_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict, or that of a training's checkpoint; no code is run.

    Raises:
        WeightsError: it is damaged, holds code, or no state dict.
    """
    with torch_pickle.checkpoint(path) as (content, array):
        tensors = _state_dict(content, torch_pickle.Tensor)
        check_total(path, (tensor.shape for tensor in tensors.values()))
        return {name: plain(name, array(tensor)) for name, tensor in tensors.items()}


def _state_dict(content: Any, kind: type) -> dict[str, Any]:
    """The tensors by name, out of what was saved.

    Args:
        content: what was saved.
        kind: of a tensor.
    """
    if isinstance(content, dict):
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        tensors = content if wrapper is None else content[wrapper]
        if tensors and all(
            isinstance(name, str) and isinstance(value, kind) for name, value in tensors.items()
        ):
            return dict(tensors)
        found = ", ".join(
            str(name) for name, value in tensors.items() if not isinstance(value, kind)
        )
        found = f"a dict with {found[:200] or 'nothing'}"
    else:
        found = f"a {type(content).__name__}"
    raise WeightsError(
        f"it holds {found}; expected a state dict: tensors by name, at the top or as "
        f"{', '.join(WRAPPERS)}. Load it by PyTorch, and write the state dict alone by `torch.save`"
    )


def _numpy(name, tensor):
    import torch

    half = tensor.dtype in (torch.float16, torch.bfloat16)
    try:
        return (tensor.float() if half else tensor).detach().numpy()
    except (TypeError, RuntimeError) as error:
        raise WeightsError(
            f"tensor {name!r} is {tensor.dtype} in layout {tensor.layout}, which NumPy has not. "
            "Convert it to dense float32 first"
        ) from error
