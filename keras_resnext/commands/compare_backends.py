"""The command line of `scripts/compare_backends.py`."""

from keras_resnext.commands.line import parse, status
from keras_resnext.training.comparison import Comparison, compare


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error, or where the losses do not agree.
    """
    return status(lambda: 0 if compare(parse(Comparison, arguments)) else 1)
