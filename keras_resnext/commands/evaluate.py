"""The command line of `scripts/evaluate.py`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keras_resnext.commands.dataset import dataset_of
from keras_resnext.commands.line import parse, status
from keras_resnext.evaluation.confusion import draw_confusion
from keras_resnext.evaluation.report import Report, evaluate
from keras_resnext.evaluation.tables import as_csv, as_json, as_text
from keras_resnext.files import write_text
from keras_resnext.training.recipes import recipe
from keras_resnext.training.trained import find_trained


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a trained ResNeXt: top-1, top-5, each class and superclass, confusion matrix.

    Prints the tables and writes report.json, classes.csv and confusion.png.
    """

    target: Path
    """Folder of a run, NAME.keras, NAME.weights.h5, or the full name of published weights."""
    split: Literal["test", "validation", "train"] = "test"
    """Part of the data set to measure on."""
    weights: Literal["best", "last"] = "best"
    """Of a run: the weights of its best epoch on the validation split, or of its last."""
    settings: str | None = None
    """Recipe or settings file that a lone model or weights file was trained with; left out:
    the settings.toml beside it."""
    dataset: Literal["cifar100", "demo", "folder"] | None = None
    """Data set; left out: the one that the settings name. For published weights, folder: images of
    ImageNet, in folders by WordNet id, all of them the test split."""
    data_dir: Path | None = None
    """Where the official CIFAR-100 archive or folder lies, or the folder of images; left out: as
    the settings say."""
    image_size: int | None = None
    """Height and width that the images of a folder are brought to; left out: as the settings
    say."""
    batch_size: int = 128
    """Images at a time."""
    output_dir: Path | None = None
    """Where to write; left out: evaluation/SPLIT beside the model."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print and write.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(lambda: _main(arguments))


def _main(arguments: list[str] | None) -> int:
    report, folder = run(parse(EvaluateCommand, arguments))
    print(as_text(report))
    print(f"\nWritten to {folder}: report.json, classes.csv, confusion.png")
    return 0


def run(command: EvaluateCommand) -> tuple[Report, Path]:
    """Measure, and write report and picture.

    Returns:
        The report, and the folder it is in.

    Raises:
        ValueError: the target is not there, or does not fit the data.
    """
    given = recipe(command.settings) if command.settings else None
    trained = find_trained(command.target, command.weights, given)
    dataset = dataset_of(trained, command.dataset, command.data_dir, command.image_size)
    model = trained.model(dataset)
    report = evaluate(model, dataset, command.split, command.batch_size)
    folder = command.output_dir or trained.folder / "evaluation" / command.split
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", as_json(report))
    write_text(folder / "classes.csv", as_csv(report))
    draw_confusion(report, folder / "confusion.png")
    return report, folder
