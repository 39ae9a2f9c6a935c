"""The command line of `scripts/explain.py`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from keras_resnext.commands.line import parse, status
from keras_resnext.commands.predict import SKIPPED
from keras_resnext.commands.trained import TrainedOptions
from keras_resnext.explanation.explanations import Explanation, explain
from keras_resnext.explanation.grad_cam import GradCAM
from keras_resnext.explanation.picture import MOST, draw_explanation
from keras_resnext.export.network import inference_network
from keras_resnext.plotting import new_figure
from keras_resnext.prediction.images import find_images
from keras_resnext.prediction.saved_model import is_saved_model


@dataclass(frozen=True)
class ExplainCommand:
    """Show what in images speaks for a class, by Grad-CAM of a trained ResNeXt.

    Writes a PNG an image: the image as the network saw it, and the same under a map of heat, red
    where the class was found. Files that cannot be read are reported and skipped; the exit status
    is 3 then, and 1 if none can be read.
    """

    source: Path
    """Folder of a run, NAME.keras, NAME.weights.h5, or the full name of published weights."""
    images: tuple[str, ...]
    """Image files, folders of such, or patterns such as 'photos/**/*.jpg'."""
    classes: tuple[str, ...] = ()
    """Names of the classes to explain; left out: the likeliest of each image."""
    top: int = 1
    """How many of the likeliest classes to explain."""
    stage: int | None = None
    """Stage of the network whose features are looked at, 1 for the first, which has the finest
    grain; left out: the last, which knows most of classes."""
    output_dir: Path | None = None
    """Folder to write to; left out: explanations beside the model."""
    batch_size: int = 32
    """Images at a time."""
    trained: TrainedOptions = field(default_factory=TrainedOptions)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, explain, write and print.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 3 if some images could not be read; 1 if none could, or after an error.
    """
    return status(lambda: _main(parse(ExplainCommand, arguments)))


def _main(command: ExplainCommand) -> int:
    _check(command)
    paths = find_images(command.images)
    trained = command.trained.find(command.source)
    dataset = command.trained.describe_dataset(trained)
    labels = _labels(command.classes, dataset.class_names)
    files = _files(paths, command.output_dir or trained.folder / "explanations")
    grad_cam = GradCAM(inference_network(trained, dataset), command.stage)
    skipped = 0
    for batch in explain(grad_cam, dataset, paths, labels, command.top, command.batch_size):
        for explanation in batch.explanations:
            _write(explanation, files[explanation.prediction.path])
        for path, reason in batch.unreadable.items():
            print(f"skipped {path}: {reason}", file=sys.stderr)
        skipped += len(batch.unreadable)
    if skipped == len(paths):
        raise ValueError(f"images: none of {len(paths)} can be read")
    return SKIPPED if skipped else 0


def _check(command):
    for name in ("top", "batch_size"):
        if getattr(command, name) < 1:
            raise ValueError(f"{name}: expected 1 or more, got {getattr(command, name)}")
    if command.classes and command.top > 1:
        raise ValueError(f"top: the classes are named, got {command.top}; leave one of them out")
    for name, count in (("top", command.top), ("classes", len(command.classes))):
        if count > MOST:
            raise ValueError(f"{name}: expected {MOST} at most, got {count}")
    if command.output_dir and command.output_dir.is_file():
        raise ValueError(f"output_dir: expected a folder, got the file {command.output_dir}")
    if is_saved_model(command.source):
        raise ValueError(
            f"source: {command.source} is a SavedModel, which has no gradients; give the run or "
            "model that it was exported from"
        )
    new_figure()


def _labels(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    for name in names:
        if name not in class_names:
            near = get_close_matches(name, class_names) or class_names[:3]
            raise ValueError(
                f"classes: expected some of the network's {len(class_names)}, such as "
                f"{', '.join(near)}, got {name}"
            )
    return [class_names.index(name) for name in dict.fromkeys(names)]


def _files(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where to write, by image: the images' folders, from where they part, and their names.

    The names with their endings, if else two, such as a.jpg and a.png, would become one.
    """
    absolute = [Path(os.path.abspath(path)) for path in paths]
    common = os.path.commonpath([path.parent for path in absolute])
    names = [path.relative_to(common) for path in absolute]
    bare = [name.with_suffix("") for name in names]
    names = bare if len(set(bare)) == len(set(names)) else names
    files = [folder / f"{name}.png" for name in names]
    if overwritten := {Path(os.path.abspath(file)) for file in files} & set(absolute):
        raise ValueError(
            f"output_dir: the picture of an image would overwrite {min(overwritten)}, which is to "
            "be explained too; choose another folder"
        )
    return dict(zip(paths, files, strict=True))


def _write(explanation: Explanation, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_explanation(explanation, file)
    path, guesses = explanation.prediction.path, explanation.prediction.guesses
    found = ", ".join(f"{guess.name} {guess.probability:.2%}" for guess in guesses)
    print(f"{path}: {found}; written to {file}")
