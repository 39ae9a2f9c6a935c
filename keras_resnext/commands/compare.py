"""The command line of `scripts/compare.py`."""

from dataclasses import dataclass
from pathlib import Path

from keras_resnext.commands.line import parse, status
from keras_resnext.files import write_text
from keras_resnext.training.curves import draw_comparison
from keras_resnext.training.runs import compare_runs, read_runs


@dataclass(frozen=True)
class CompareCommand:
    """Put runs side by side: what they reached, where their settings differ, their curves.

    Prints the tables and writes comparison.md and comparison.png.
    """

    runs: tuple[Path, ...]
    """Folders of two runs or more, finished or not."""
    output_dir: Path = Path("runs/comparison")
    """Where to write."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, compare, print and write.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(lambda: _main(parse(CompareCommand, arguments)))


def _main(command: CompareCommand) -> int:
    runs = read_runs(command.runs)
    text = compare_runs(runs)
    command.output_dir.mkdir(parents=True, exist_ok=True)
    draw_comparison(
        {name: run.history for name, run in runs.items()}, command.output_dir / "comparison.png"
    )
    write_text(command.output_dir / "comparison.md", text)
    print(f"{text}\nWritten to {command.output_dir}: comparison.md, comparison.png")
    return 0
