"""Files that are written whole or not at all."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

UNFINISHED = ".writing-"
"""Beginning of the names of files under way. A kill leaves one behind."""


@contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, and put what was written at `path` once it is safely on the disk.

    Whoever reads `path` finds the old file or the new one, whatever dies and whenever. The path
    given lies in the same folder and has the same ending (Keras goes by it).

    Args:
        path: where the file shall be; its folder exists.

    Raises:
        OSError: the file cannot be written; `path` is as it was. The message says why and what to
            do.
    """
    path = Path(path)
    temporary = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(
            f"cannot write {path}: {reason}. Mend that (free some space, for instance) and start "
            "again, a training run with --resume."
        ) from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_weights(path: str | os.PathLike, model: keras.Model) -> None:
    """Write `NAME.weights.h5`, with the optimizer's state if compiled, whole or not at all.

    `model.save_weights(path)` lets HDF5 write to the disk. If that is full, HDF5 can neither write
    nor close its file, complains over many lines, and crashes the process as it ends (h5py issue
    914). So HDF5 writes to memory here, which takes as much again as the weights.

    Args:
        path: where the file shall be; its folder exists.
        model: built.

    Raises:
        OSError: as `written_whole`.
    """
    memory = _WeightsInMemory()
    model.save_weights(memory)
    with written_whole(path) as temporary:
        temporary.write_bytes(memory.getbuffer())


class _WeightsInMemory(io.BytesIO):
    """Keras takes a `BytesIO` in place of a path, but looks at the ending of its name."""

    def __str__(self):
        return "memory.weights.h5"


def _sync_folder(folder: Path) -> None:
    """Have a file's new name on the disk too: after a power cut the old file could be back."""
    if os.name == "nt":  # opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
