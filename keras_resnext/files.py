"""Writing files whole or not at all, locking folders, printing tables, and such."""

import csv
import io
import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len
from safetensors import SafetensorError
from safetensors.numpy import save_file

UNFINISHED = ".writing-"
"""Prefix of the names of files and folders that are being written. A kill leaves one behind."""


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to, and move that file to `path` once it is on the disk.

    Whoever reads `path` finds the old file or the new one, whatever dies and whenever; of several
    writers the last one to finish wins. The temporary file lies in the same folder, which is made
    if it does not exist, and has the same suffix (Keras decides by it).

    Raises:
        OSError: the file cannot be written; `path` is unchanged.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe, or /dev/null, would be replaced by a file
        raise OSError(f"cannot write {path}: it is there, and no regular file")
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        to_disk(path.parent)  # after a power cut the old file could be back
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(
            f"cannot write {path}: {reason}. Fix that (free some space, for instance) and start "
            "again, a training run with --resume."
        ) from error


def users_path(path: str | os.PathLike) -> Path:
    """Return a path, its ~ resolved; that of no known user stays, and is not found by its name."""
    return Path(os.path.expanduser(path))


def check_writable(folder: Path) -> None:
    """Make sure that files can be written to a folder, or to where it would be made.

    Raises:
        OSError: they cannot. Better before the work that they are to hold than after it.
    """
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror}; choose another") from error


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row or more of the same columns, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Write `data`, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_safetensors(
    path: str | os.PathLike, tensors: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write C-ordered arrays, atomically and without a copy of them all in memory."""
    with atomic_write(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # says of a full disk: "... (os error 28)"
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else 0, str(error)) from error


def write_json(path: str | os.PathLike, values: Any) -> None:
    """Write `values` as indented JSON, atomically."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def unfinished(path: Path) -> Path:
    """Return a new temporary name beside `path`, and remove what dead processes left there.

    The name starts with `UNFINISHED` and the process it belongs to, is unique to this call, and has
    the suffix of `path`.
    """
    mine = f"{UNFINISHED}{re.sub('[^a-zA-Z0-9]', '', socket.gethostname())[:40]}-"
    for left in path.parent.glob(f"{mine}*"):
        if not _is_running(left.name.removeprefix(mine).partition("-")[0]):
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    # A name has at most 255 bytes.
    return path.with_name(f"{mine}{os.getpid()}-{secrets.token_hex(4)}-{path.name[-40:]}")


def _is_running(process: str) -> bool:
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):  # another user's; no process at all
        pass
    return True


def to_disk(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    if os.name == "nt":  # opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process alone; the operating system releases it when a process dies.

    Args:
        folder: exists; gets a file `.lock`, which stays.
        what: that is going on, as the error says it: "the run NAME", for instance.

    Raises:
        BlockingIOError: another process, or another part of this one, holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(
            f"{what} is already running: another process holds {folder}. Wait for it or stop it."
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_positive(**values: int) -> None:
    """Raise a ValueError that names the first of the arguments that is below 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name}: expected 1 or more, got {value}")


def require(module: str, what: str, install: str = '"keras-resnext[train]"') -> Any:
    """Import and return a module that the base installation lacks.

    Raises:
        ImportError: it cannot be imported. The message is `what`, such as "plots need matplotlib",
            and what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{what}. Type: pip install {install}") from error


def figure(**kwargs: Any) -> Any:
    """Return a new `matplotlib.figure.Figure`: no window and no global state, as with pyplot."""
    return require("matplotlib.figure", "plots need matplotlib").Figure(**kwargs)


def tolerate_output() -> None:
    """Have this process survive standard streams that are closed or lack characters.

    For commands: a run of days must not end because `| head` closed the pipe or the locale is
    ASCII. Characters are escaped, and what nobody reads is dropped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
            continue
        stream.flush()
        raw = io.BufferedWriter(_Tolerant(stream.fileno(), "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "backslashreplace", "\n", True))


class _Tolerant(io.FileIO):
    def write(self, data):
        try:
            return super().write(data)
        except OSError:
            return len(data)


def table(rows: Iterable[Iterable[str]]) -> str:
    """Return a table for a terminal: columns line up, whatever width their characters have."""
    lines = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]

    def padded(cell: str, width: int) -> str:
        return cell + " " * (width - cell_len(cell))

    return "\n".join("  ".join(map(padded, line, widths)).rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table in Markdown; sequences become lists, None and empty ones a dash."""
    title, *lines = (f"| {' | '.join(map(_cell, cells))} |" for cells in (header, *rows))
    return "\n".join([title, "|---" * len(header) + "|", *lines])


def _cell(value: Any) -> str:
    if value in (None, (), []):
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return escape(text).replace("|", r"\|").replace("<", "&lt;")


def escape(text: str) -> str:
    """Write characters that would move the cursor or break a line as Python's escape sequences."""
    return "".join(
        character
        if character.isprintable() or character in "\u200c\u200d"  # joiners are part of words
        else character.encode("unicode_escape").decode()
        for character in text
    )


def few(texts: Iterable[str], most: int = 4) -> str:
    """Join the first of texts by commas, each cut where it is long, and say how many more."""
    texts = list(texts)
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(text[:99] for text in texts[:most])}{more}"
