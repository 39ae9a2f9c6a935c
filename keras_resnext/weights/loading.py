"""Weights for a network, from wherever the user says."""

import os
import re
from pathlib import Path

import keras

from keras_resnext.architecture import Architecture
from keras_resnext.forms import assign
from keras_resnext.presets import Preset, find_preset
from keras_resnext.weights.layers import HEAD, LayerWeights

FILES = (".h5", ".keras", ".pth", ".pt", ".bin", ".tar", ".safetensors")
OURS = re.compile(rf"stem_|stage\d+_block\d+_|{HEAD}$")


def find_weights(
    weights: str | os.PathLike | None, architecture: Architecture
) -> Preset | Path | None:
    """Make out what the user means, without loading it.

    Args:
        weights: a file, a published set by name or tag, "imagenet", or None.
        architecture: of the network that they are for.

    Raises:
        ValueError: there is no such file or set, or none for this network.
    """
    if weights is None:
        return None
    text = os.fspath(weights)
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if isinstance(weights, os.PathLike) or os.sep in text or text.endswith(FILES):
        raise ValueError(f"weights={text!r}: there is no such file.")
    return find_preset(text, architecture)


def read_weights(source: Preset | Path) -> LayerWeights:
    """Read a file, or a published set, which is downloaded if it is not in the cache.

    Raises:
        ValueError: it cannot be read, or is of no ResNeXt.
        ConnectionError: it is not in the cache and cannot be downloaded.
        ImportError: what reads such a file is not installed.
    """
    from keras_resnext.weights.keras_file import is_keras_file, read_keras_file

    if isinstance(source, Preset):
        from keras_resnext.weights.cache import cached

        source = cached(source, _convert)
    return read_keras_file(source) if is_keras_file(source) else _read_foreign(source)


def load_weights(
    model: keras.Model, weights: LayerWeights, source: Preset | Path, *, any_head: bool = False
) -> None:
    """Set the weights of a `ResNeXt`, its blocks in any form, with or without the classifier.

    Args:
        model: the network, layers of the user's before it included, which stay as they are.
        weights: what `read_weights` gave.
        source: where they are from, for messages.
        any_head: whether a classifier of another size, or none, is passed over; the model's stays
            as it is then.

    Raises:
        ValueError: they do not fit; the message names the tensors. Nothing is written.
    """
    core = [layer for layer in model.layers if OURS.match(layer.name)]
    heads = [layer.units for layer in core if layer.name == HEAD]
    arrays = dict(weights.arrays)
    if not heads or (any_head and weights.classes != heads[0]):
        arrays.pop(HEAD, None)
    pooled = any(layer.name.endswith("_shortcut_pool") for layer in core)
    try:
        if pooled != (weights.shortcut == "average_pool"):
            raise ValueError(f'they are of a network with shortcut="{weights.shortcut}"')
        assign(arrays, core, optional=[HEAD] if any_head else [])
    except ValueError as error:
        found = weights.architecture()
        told = f" They are those of {found}." if found else ""
        raise ValueError(
            f"weights: {_name(source)} does not fit {model.name}: {error}.{told}"
        ) from None


def _name(source: Preset | Path) -> str:
    return source.name if isinstance(source, Preset) else str(source)


def _convert(source: Path, target: Path) -> None:
    from keras_resnext.weights.keras_file import write_by_name

    write_by_name(target, _read_foreign(source))


def _read_foreign(path: Path) -> LayerWeights:
    from keras_resnext.weights.naming import from_keras_applications, from_torch
    from keras_resnext.weights.tensors import read_tensors

    tensors = read_tensors(path)
    try:
        of_keras = any("/" in name for name in tensors)
        return from_keras_applications(tensors) if of_keras else from_torch(tensors)
    except ValueError as error:
        raise ValueError(f"weights: {path}: {error}") from None
