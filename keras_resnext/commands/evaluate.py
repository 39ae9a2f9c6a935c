"""The command line of `scripts/evaluate.py`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from keras_resnext.commands.line import parse, status
from keras_resnext.commands.trained import TrainedOptions
from keras_resnext.evaluation.confusion import draw_confusion
from keras_resnext.evaluation.report import Report, evaluate
from keras_resnext.evaluation.tables import as_csv, as_json, as_text
from keras_resnext.files import write_text


@dataclass(frozen=True)
class EvaluateCommand:
    """Measure a trained ResNeXt: top-1, top-5, each class and superclass, confusion matrix.

    Prints the tables and writes report.json, classes.csv and confusion.png.
    """

    target: Path
    """Folder of a run, NAME.keras, NAME.weights.h5, or the full name of published weights."""
    split: Literal["test", "validation", "train"] = "test"
    """Part of the data set to measure on."""
    trained: TrainedOptions = field(default_factory=TrainedOptions)
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
    trained = command.trained.find(command.target)
    dataset = command.trained.load_dataset(trained)
    model = trained.model(dataset)
    report = evaluate(model, dataset, command.split, command.batch_size)
    folder = command.output_dir or trained.folder / "evaluation" / command.split
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", as_json(report))
    write_text(folder / "classes.csv", as_csv(report))
    draw_confusion(report, folder / "confusion.png")
    return report, folder
