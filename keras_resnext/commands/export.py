"""The command line of `scripts/export.py`."""

import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from keras_resnext.commands.line import parse, status
from keras_resnext.commands.trained import TrainedOptions
from keras_resnext.data import Dataset, Split
from keras_resnext.export.formats.export import ExportedFormat, export_format
from keras_resnext.export.saved_model import Exported, export_saved_model
from keras_resnext.export.stand_ins import stand_ins
from keras_resnext.export.verification import TOLERANCE
from keras_resnext.prediction.description import describe
from keras_resnext.training.trained import Trained


@dataclass(frozen=True)
class ExportCommand:
    """Export a trained ResNeXt, from any backend, to a SavedModel that TensorFlow Serving runs.

    Writes OUTPUT_DIR/NAME/VERSION (another format: OUTPUT_DIR/NAME-FORMAT/VERSION), the next free
    version, once its outputs on test images have been found equal to the network's.
    """

    target: Path
    """Folder of a run, NAME.keras, NAME.weights.h5, or the full name of published weights."""
    format: Literal[
        "saved_model",
        "keras",
        "onnx",
        "onnx-int8",
        "litert",
        "litert-int8",
        "openvino",
        "torch",
    ] = "saved_model"
    """Format of the export; see docs/formats.md."""
    name: str | None = None
    """Name of the model on a server; left out: that of the run or of the file."""
    output_dir: Path = Path("saved_models")
    """Folder of all exports."""
    trained: TrainedOptions = field(default_factory=TrainedOptions)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, export and print.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(lambda: _main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    command = parse(ExportCommand, arguments)
    exported = run(command, shlex.join(["python", "scripts/export.py", *arguments]))
    print(exported.check if isinstance(exported, ExportedFormat) else _differences(exported))
    print(f"Exported to {exported.folder}")
    return 0


def _differences(exported: Exported) -> str:
    found = ", ".join(f"{kind} {value:.1e}" for kind, value in exported.differences.items())
    text = (
        f"Largest difference from the trained network on {exported.images} test images: {found} "
        f"(bound {TOLERANCE:g}; of logits, {TOLERANCE:g} of the largest)"
    )
    if not exported.warm:
        text += (
            "\nWithout requests to warm a server up; they are added where the package is installed "
            "that has their messages: pip install --no-deps tensorflow-serving-api"
        )
    return text


def run(command: ExportCommand, line: str) -> Exported | ExportedFormat:
    """Export.

    Args:
        command: what to export.
        line: the command line as it was typed, for the model card.

    Raises:
        ValueError: the target is not there, or does not fit the data.
        ImportError: what writes or runs the format is not installed.
        RuntimeError: the export does not compute what the network does.
    """
    trained = command.trained.find(command.target)
    if trained.preset and not command.trained.names_data:
        dataset = _made_up(trained, command.format)
    else:
        dataset = command.trained.load_dataset(trained)
    name = command.name or _name(command.target)
    if command.format == "saved_model":
        return export_saved_model(trained, dataset, name, command.output_dir, line)
    folder = command.output_dir / f"{name}-{command.format}"
    return export_format(trained, dataset, command.format, folder)


def _made_up(trained: Trained, format_name: str) -> Dataset:
    """ImageNet's classes, and images made by code to check the export on."""
    if format_name.endswith("int8"):
        raise ValueError(
            f"format: {format_name} is calibrated on real images; give --dataset folder --data-dir "
            "FOLDER, with images of ImageNet in folders by WordNet id"
        )
    dataset = describe(trained)
    assert dataset is not None  # of published weights it never is
    images = stand_ins(dataset.preprocessing)
    labels = np.zeros(len(images), np.int32)
    return replace(dataset, test=Split(images, labels, labels))


def _name(target: Path) -> str:
    """The run's, whose files are all called alike, or the file's."""
    stem = target.name.removesuffix(".keras").removesuffix(".weights.h5")
    if target.is_file() and stem not in ("best", "last", "model"):
        return stem
    if not target.exists():
        return target.name  # of published weights
    folder = target.resolve() if target.is_dir() else target.resolve().parent
    return folder.name
