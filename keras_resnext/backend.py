"""Tell a wrong or missing Keras backend in one line, before Keras is imported and fails in many.

Nothing here imports Keras or a backend.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

Backend = Literal["tensorflow", "jax", "torch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


class BackendError(ImportError):
    """Keras' backend is unknown or not installed. The message says what is, and what to type."""


def check_backend() -> str:
    """Make sure that the backend Keras is going to choose is one of ours and is installed.

    Keras takes the environment variable `KERAS_BACKEND`, else `backend` of `~/.keras/keras.json`,
    else TensorFlow.

    Returns:
        The backend's name.

    Raises:
        BackendError: it is not one of `BACKENDS`, or its package is not installed.
    """
    name, source = _chosen()
    installed = [backend for backend in BACKENDS if find_spec(backend)]
    if name in installed:
        return name
    if name in BACKENDS:
        problem = f"{source} asks for the Keras backend {name!r}, which is not installed."
    else:
        problem = f"{source} asks for {name!r}, which is not one of {', '.join(BACKENDS)}."
    if installed:
        remedy = f"Installed: {', '.join(installed)}. Type: export KERAS_BACKEND={installed[0]}"
    else:
        wanted = name if name in BACKENDS else BACKENDS[0]
        remedy = f'No backend is installed. Type: pip install "keras-resnext[{wanted}]"'
    raise BackendError(f"{problem} {remedy}")


def _chosen() -> tuple[str, str]:
    """Name the backend Keras would choose, and what chooses it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    home = os.environ.get("KERAS_HOME")
    config = (Path(home) if home else Path.home() / ".keras") / "keras.json"
    try:
        name = json.loads(config.read_text()).get("backend")
    except (OSError, ValueError, AttributeError):  # Keras, too, goes on without the file
        name = None
    if name:
        return str(name), str(config)
    return "tensorflow", "Keras' default (KERAS_BACKEND is not set)"
