"""`Checkpoint`: a trained network, with all that is needed to use it; opened from any source.

A checkpoint on disk is a folder in timm's layout: `config.json` beside `model.safetensors`.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_resnext.files import escape, users_path, write_json
from keras_resnext.weights import hub
from keras_resnext.weights.config import CONFIG, from_config, to_config
from keras_resnext.weights.files import SUFFIXES, read_weights, write_weights
from keras_resnext.weights.layers import Checkpoint, LayerWeights
from keras_resnext.weights.presets import BUNDLED, PRESETS, list_presets, near

WEIGHTS = {"best": "model.safetensors", "last": "last.safetensors"}
HUB = "hf://"
logger = logging.getLogger("keras_resnext")


def open_checkpoint(name: str | os.PathLike | Checkpoint, which: str = "best") -> Checkpoint:
    """Find out what a name stands for; weights are read, and downloaded, when they are asked for.

    Args:
        name: a built-in preset (`"cifar100"`, `"resnext50_32x4d.a1_in1k"`); `"hf://owner/name"`, a
            repository in timm's layout on the Hugging Face hub; the folder of a run, or any in
            timm's layout; or a file: `.safetensors`, `.weights.h5`, `.keras`, `.pth`. What exists
            on disk goes before a preset of the same name.
        which: weights of a run: `"best"` or `"last"`.

    Raises:
        ValueError: it stands for nothing, or what it stands for is damaged or no ResNeXt.
        ConnectionError: a repository's `config.json` cannot be downloaded; says what to do.
        ImportError: it is a `.pth`, and PyTorch is not installed.
    """
    if isinstance(name, Checkpoint):
        return name
    if which not in WEIGHTS:
        raise ValueError(f"which={which!r}: expected one of {', '.join(map(repr, WEIGHTS))}")
    text = os.fspath(name)
    if text.startswith(HUB):
        return _of_repository(text.removeprefix(HUB))
    path = users_path(text)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # no possible path
        is_folder = is_file = False
    if is_file:
        return _of_file(path)
    if is_folder and ((path / CONFIG).is_file() or text not in list_presets()):
        return _of_folder(path, WEIGHTS[which])
    if text in PRESETS:
        return PRESETS[text]
    if text in BUNDLED:
        return replace(_of_folder(BUNDLED[text], WEIGHTS["best"]), folder=Path("runs", text))
    raise ValueError(
        f"checkpoint '{escape(text)[:200]}': expected a preset's name, {HUB}OWNER/NAME, a run's "
        f"folder, or a file ({', '.join(SUFFIXES)}); found nothing of that name{near(text)}"
    )


def _of_repository(name: str) -> Checkpoint:
    repository, _, revision = name.partition("@")
    config = hub.download(repository, CONFIG, revision or None)
    return from_config(
        config,
        name=name,
        source=f"https://huggingface.co/{repository}",
        folder=Path("runs", *repository.split("/")),
        read=lambda: read_weights(hub.download(repository, WEIGHTS["best"], revision or None)),
    )


def _of_folder(folder: Path, file: str) -> Checkpoint:
    for needed in (CONFIG, file):
        if not (folder / needed).is_file():
            raise ValueError(
                f"checkpoint {folder}: there is no {needed} in this folder; a run has it once its "
                "first epoch is finished"
            )
    return from_config(
        folder / CONFIG,
        name=folder.resolve().name,
        source=str(folder),
        folder=folder,
        read=lambda: read_weights(folder / file),
    )


def _of_file(path: Path) -> Checkpoint:
    if path.name in WEIGHTS.values() and (path.parent / CONFIG).is_file():
        return _of_folder(path.parent, path.name)
    found = _of_weights(read_weights(path), path, name=path.name.split(".")[0], folder=path.parent)
    if found.architecture.cardinality == 1:
        what = "a Wide ResNet" if found.architecture.base_width > 64 else "a ResNet"
        read_as = f"{found.architecture}, its strides in the 3x3 convolutions"
        logger.warning("%s: %s, no groups; read as %s", path, what, read_as)
    return found


def _of_weights(weights: LayerWeights, source: Path, **known: Any) -> Checkpoint:
    return Checkpoint(
        architecture=weights.architecture,
        classes=weights.classes,
        channels=weights.channels,
        source=str(source),
        read=lambda: weights,
        **known,
    )


def write_checkpoint(
    folder: str | os.PathLike,
    model: keras.Model,
    *,
    weights_file: str = WEIGHTS["best"],
    **described: Any,
) -> None:
    """Write a network as a checkpoint folder, each file atomically.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` gives the same logits, for networks
    that timm has: not those with the CIFAR stem or grouped 1x1 convolutions.

    Args:
        folder: is made if it does not exist.
        model: a `ResNeXt`, or one that holds one, under any dtype policy.
        weights_file: file name of the weights.
        **described: what else a `Checkpoint` says; its name is the folder's by default.

    Raises:
        ValueError: the model is no ResNeXt, or the class names are not as many as its classes.
        OSError: a file cannot be written.
    """
    folder, weights = Path(folder), LayerWeights.of_model(model)
    names = described.get("class_names")
    if names is not None and weights.classes not in (None, len(names)):
        raise ValueError(
            f"class_names: expected {weights.classes} names, one per class of {model.name!r}, got "
            f"{len(names)}"
        )
    checkpoint = _of_weights(weights, folder, **{"name": folder.resolve().name} | described)
    write_folder(folder, checkpoint, weights, weights_file)


def write_folder(
    folder: Path, checkpoint: Checkpoint, weights: LayerWeights, weights_file: str = WEIGHTS["best"]
) -> None:
    """Write weights and `config.json` to a folder, which is made if it does not exist."""
    write_weights(folder / weights_file, weights)
    write_config(folder, checkpoint)


def write_config(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `config.json` in timm's layout, atomically."""
    write_json(folder / CONFIG, to_config(checkpoint))
