"""The layout that TensorFlow Serving reads: NAME/VERSION, a version being a whole number."""

import errno
import os
from pathlib import Path


def publish(folder: Path, model_folder: Path) -> Path:
    """Move a finished export to where a server looks, as the next version, all at once.

    A server that watches `model_folder` never sees a part of it.

    Args:
        folder: the finished export, on the same file system.
        model_folder: NAME.

    Returns:
        Where it is now.

    Raises:
        OSError: it cannot be moved; it is where it was.
    """
    model_folder.mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*"):
        _to_disk(path)
    while True:
        target = model_folder / str(_next_version(model_folder))
        try:
            os.rename(folder, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            _to_disk(model_folder)
            return target


def _next_version(model_folder: Path) -> int:
    taken = [int(path.name) for path in model_folder.iterdir() if path.name.isdecimal()]
    return max(taken, default=0) + 1


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
