"""Matplotlib, which not every installation has."""

from typing import Any


def new_figure(**arguments: Any) -> Any:
    """Make a `matplotlib.figure.Figure`: without pyplot there is no window and no global state.

    Args:
        **arguments: as of `Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'plots need matplotlib. Type: pip install "keras-resnext[scripts]"'
        ) from error
    return Figure(**arguments)
