"""Weights to begin with: published, from a file, or a run's."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_resnext.architecture import Architecture
from keras_resnext.preprocessing import Preprocessing, fitted
from keras_resnext.presets import PRESETS, Preset
from keras_resnext.training.settings import Settings
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.loading import find_weights, load_weights, read_weights

BEST = "best.weights.h5"


class Initial(NamedTuple):
    """Weights in memory, and where they are from."""

    weights: LayerWeights
    source: Preset | Path


def find_initial(weights: str, wanted: Architecture) -> Preset | Path:
    """Make out what is meant, without reading or downloading it.

    Args:
        weights: as of `Settings`.
        wanted: the network, to choose by where a preset is not named in full.

    Raises:
        ValueError: there is no such preset, file or run.
    """
    path = Path(weights).expanduser()
    if weights in PRESETS:
        return PRESETS[weights]
    if (path / BEST).is_file():
        return path / BEST
    if path.is_dir() and path.name != weights:
        raise ValueError(f"weights: expected the folder of a run, found no {BEST} in {path}")
    found = find_weights(weights, wanted)
    assert found is not None  # as `weights` is not
    return found


def architecture_of(source: Preset | Path) -> Architecture | None:
    """The network that weights are of; None where they do not tell.

    Raises:
        ValueError: the file cannot be read, or holds none of a ResNeXt.
    """
    if isinstance(source, Preset):
        return source.architecture
    return read_weights(source).architecture()


def check_agreement(source: Preset | Path, found: Architecture, named: dict[str, Any]) -> None:
    """Make sure that weights are of the network that the settings name.

    Args:
        source: of the weights.
        found: their network.
        named: attributes of `Architecture` that the settings decide.

    Raises:
        ValueError: they are not; the message tells all differences.
    """
    theirs = asdict(found)
    differing = [name for name, value in named.items() if theirs[name] != value]
    if differing:
        told, ours = (
            ", ".join(f"{name} {values[name]}" for name in differing) for values in (theirs, named)
        )
        raise ValueError(
            f"weights: {source.name if isinstance(source, Preset) else source} is of a network "
            f"with {told}, and the settings name {ours}; change these or leave them out, or choose "
            "other weights"
        )


def read_initial(settings: Settings, wanted: Architecture) -> Initial | None:
    """Read the weights that a run begins with; published ones are downloaded if they are not there.

    Raises:
        ValueError: they are not there or cannot be read.
        ConnectionError: they cannot be downloaded.
        ImportError: what reads such a file is not installed.
    """
    if settings.weights is None:
        return None
    source = find_initial(settings.weights, wanted)
    return Initial(read_weights(source), source)


def load_initial(model: keras.Model, initial: Initial) -> None:
    """Put weights into a network; its classifier stays fresh where theirs has other classes.

    Raises:
        ValueError: they are another network's.
    """
    load_weights(model, initial.weights, initial.source, any_head=True)


def preprocessing_of(settings: Settings) -> Preprocessing | None:
    """What images of a folder go through: as published weights were measured, at any image size.

    Args:
        settings: resolved ones.

    Returns:
        None where the data set is no folder.
    """
    if settings.dataset != "folder" or settings.image_size is None:
        return None
    size = settings.image_size
    if settings.weights not in PRESETS:
        return fitted(size)
    measured = PRESETS[settings.weights].preprocessing
    resize_size = round(size * measured.resize_size / measured.image_size)
    return replace(measured, image_size=size, resize_size=resize_size)
