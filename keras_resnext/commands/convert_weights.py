"""The command line of `scripts/convert_weights.py`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_resnext.commands.line import parse, status
from keras_resnext.files import write_weights, written_whole
from keras_resnext.models import from_file, from_preset
from keras_resnext.presets import PRESETS, Preset
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.loading import read_weights
from keras_resnext.weights.naming import to_torch
from keras_resnext.weights.writing import write_tensors

KERAS = (".weights.h5", ".keras")
PYTORCH = (".safetensors", ".pth")


@dataclass(frozen=True)
class ConvertCommand:
    """Convert the weights of a ResNeXt between Keras, torchvision and timm.

    What is written is read again, and must hold the same numbers.
    """

    source: str
    """NAME.weights.h5 or NAME.keras of keras_resnext; a .pth, .safetensors or .h5 of torchvision,
    timm, keras-applications or the original code; or published weights by name, such as
    resnext50_32x4d.a1_in1k."""
    target: Path
    """NAME.weights.h5 or NAME.keras for Keras; NAME.safetensors or NAME.pth, a state dict, for
    torchvision and timm."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, convert and print.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(
        lambda: _main(parse(ConvertCommand, sys.argv[1:] if arguments is None else arguments))
    )


def _main(command: ConvertCommand) -> int:
    source = _source(command)
    model = from_preset(source.name) if isinstance(source, Preset) else from_file(source)
    if command.target.name.endswith(".weights.h5"):
        write_weights(command.target, model)
    elif command.target.suffix == ".keras":
        with written_whole(command.target) as temporary:
            model.save(temporary)
    else:
        write_tensors(command.target, to_torch(model))
    weights = read_weights(source)
    _check_same(weights, read_weights(command.target), command.target)
    print(
        f"{command.target}: {weights.architecture()}, "
        f"{sum(array.size for arrays in weights.arrays.values() for array in arrays):,} numbers, "
        f"{weights.classes or 'no'} classes"
    )
    return 0


def _source(command: ConvertCommand) -> Preset | Path:
    target = command.target
    if not target.name.endswith((*KERAS, *PYTORCH)):
        raise ValueError(
            f"target: expected a name that ends in {', '.join((*KERAS, *PYTORCH))}, got {target}"
        )
    if not target.absolute().parent.is_dir():
        raise ValueError(f"target: {target.parent} is no folder; make it first")
    if command.source in PRESETS:
        return PRESETS[command.source]
    source = Path(command.source).expanduser()
    if not source.is_file():
        raise ValueError(
            f"source: expected a file, or published weights by name (scripts/presets.py lists "
            f"them), found neither by {command.source!r}"
        )
    if target.exists() and target.samefile(source):
        raise ValueError(f"target: {target} is the source; give another name")
    return source


def _check_same(expected: LayerWeights, found: LayerWeights, target: Path) -> None:
    same = expected.arrays.keys() == found.arrays.keys() and all(
        np.array_equal(one, other, equal_nan=True)
        for name, arrays in expected.arrays.items()
        for one, other in zip(arrays, found.arrays[name], strict=True)
    )
    if not same:
        raise RuntimeError(f"{target} holds other numbers than the source; remove it")
