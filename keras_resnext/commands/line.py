"""What all command lines share."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def parse(kind: type[T], arguments: Sequence[str] | None, **options: Any) -> T:
    """Read a command line into a dataclass, whose fields' docstrings are the help.

    Args:
        kind: the dataclass.
        arguments: of the command line; None: those of the process.
        **options: as of `tyro.cli`.

    Raises:
        ImportError: tyro is not installed.
        SystemExit: an option is unknown or malformed, or help was asked for.
    """
    try:
        import tyro
    except ImportError as error:
        raise ImportError(
            'the command line needs tyro. Type: pip install "keras-resnext[scripts]"'
        ) from error
    # Positional where no default is, and no prefix before the options of a nested dataclass.
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs)
    return tyro.cli(kind, args=arguments, config=config, **options)


def status(run: Callable[[], int]) -> int:
    """Run a command; what the user can mend is one line and exit status 1, not a traceback."""
    try:
        return run()
    except (ValueError, ArithmeticError, ImportError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
