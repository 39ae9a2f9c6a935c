"""What `keras_resnext.export` wrote, run in a process of its own by the runtime of its format."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from keras_resnext.inference import runtimes
from keras_resnext.preprocessing import Preprocessing

LABELS, PREPROCESSING = "labels.txt", "preprocessing.json"
Compute = Callable[[np.ndarray], np.ndarray]


def find_exported(folder: Path) -> Path | None:
    """Return the model file of an export, NAME/VERSION or NAME (its latest), None without one."""
    versions = [path for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()]
    for place in (folder, *sorted(versions, key=lambda path: -int(path.name))):
        for name in runtimes.RUNTIMES:
            # A run's folder has model.keras or model.onnx only by accident, and no preprocessing.
            if (place / name).is_file() and _beside(place, PREPROCESSING):
                return place / name
    return None


def _beside(folder: Path, name: str) -> Path | None:
    places = (folder / name, folder / "assets" / name, folder / "assets.extra" / name)
    return next((path for path in places if path.is_file()), None)


@contextmanager
def open_exported(file: Path) -> Iterator[tuple[tuple[str, ...], Preprocessing, Compute]]:
    """Start a process that runs an export, whatever the backend of this one, and end it afterwards.

    A file can come from anywhere: only operations and layers that exports of ours have are run.

    Args:
        file: the model in NAME/VERSION.

    Yields:
        Its class names; its preprocessing, without the normalization, which is inside; and from
        pixels, uint8 (N, image_size, image_size, 3), to probabilities, float32 (N, classes).

    Raises:
        ValueError: it is damaged, not by `keras_resnext.export`, or holds what no export does.
        RuntimeError: the process died; a package may not be installed.
    """
    if file.suffix in (".keras", ".pt2"):
        raise ValueError(
            f"predict does not run {file.suffix} files, which can hold programs; predict with what "
            "was exported"
        )
    names, values = _read(file, LABELS), _read(file, PREPROCESSING)
    try:
        described = json.loads(values)
        activation = str(described.pop("activation", "softmax"))
        preprocessing = Preprocessing.from_dict(described)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file.parent}: {PREPROCESSING} cannot be read ({error})") from error
    class_names = tuple(names.removesuffix("\n").split("\n"))
    size = preprocessing.image_size
    with run_exported(file, trusted=False) as run:

        def compute(images: np.ndarray) -> np.ndarray:
            found = run({runtimes.DEFAULT: images})[f"{runtimes.DEFAULT}/logits"]
            if found.shape != (len(images), len(class_names)):
                raise ValueError(
                    f"{file} puts out {found.shape[1:]} for each image, and {LABELS} names "
                    f"{len(class_names)} classes; export it again"
                )
            return probabilities(found, activation)

        compute(np.zeros((1, size, size, 3), np.uint8))  # what does not fit fails now
        yield class_names, preprocessing, compute


def _read(file: Path, name: str) -> str:
    path = _beside(file.parent, name) or file.parent / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        what = f"expected {name}, as export writes it"
        raise ValueError(f"{file.parent}: {what} ({error})") from error


@contextmanager
def run_exported(file: Path, *, trusted: bool, **environment: str) -> Iterator[Any]:
    """Start `runtimes.py` on a file, checked unless it is trusted, and end it afterwards.

    Yields:
        The function that sends arrays by name and returns those answered. It raises a ValueError
        with what the runtime says, or a RuntimeError where the process died.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-P", runtimes.__file__, file, "trusted" if trusted else "checked"],
            env=child_environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        requests, responses = process.stdin, process.stdout
        assert requests
        assert responses

        def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            try:
                runtimes.write_message(requests, arrays)
                answers = runtimes.read_message(responses)
            except OSError:
                answers = None
            if answers is None:
                log.seek(0)
                print(log.read().decode(errors="replace")[-4000:], file=sys.stderr)
                raise RuntimeError(f"the process that runs {file} died; its error is above")
            if "missing" in answers:
                raise ImportError(f"{file.name} needs what runs it: {answers['missing']}")
            if "error" in answers:
                raise ValueError(f"{file} cannot be run: {answers['error']}")
            return answers

        try:
            yield run
        finally:
            process.kill()
            with suppress(OSError):  # what could not be sent
                process.communicate()


def probabilities(logits: np.ndarray, activation: str = "softmax") -> np.ndarray:
    """Return the softmax or sigmoid of logits, float32 (N, classes); unchanged for another name."""
    logits = np.asarray(logits, np.float32)
    if activation == "sigmoid":
        return (1 + np.tanh(logits / 2)) / 2
    if activation not in ("softmax", "linear"):
        return logits
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def child_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a process that computes on the CPU: this one may hold the GPU."""
    cpu = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return os.environ | cpu | variables
