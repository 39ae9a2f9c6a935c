"""Published weights, downloaded and converted once."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import keras

from keras_resnext.data.network import why_unreachable
from keras_resnext.files import UNFINISHED
from keras_resnext.presets import Preset

# A server that says nothing for so long is given up.
SILENCE_SECONDS = 20.0


def fetch(preset: Preset) -> Path:
    """Get the publisher's file, from the cache or else by download, and keep it.

    Args:
        preset: which.

    Returns:
        Its path in the cache, where a user may have put it.

    Raises:
        ConnectionError: it cannot be downloaded; the message says what to put where by hand.
        ValueError: what is there is not the file that the publisher states the digest of.
        OSError: the cache cannot be written.
    """
    place = _place(preset)
    if place.is_file():
        _check(preset, place)
    else:
        with _workshop() as folder:
            _move(_download(preset, folder), place)
    return place


def cached(preset: Preset, convert: Callable[[Path, Path], None]) -> Path:
    """Get the converted weights, from the cache or else by download and conversion.

    Once converted, it needs neither the network nor the publisher's file: what was downloaded is
    removed, what a user put there is not.

    Processes that do so at once each work in a folder of their own, and the last to end wins. A
    kill leaves such a folder behind, and nothing in its place.

    Args:
        preset: which.
        convert: reads the publisher's file at the first path, and writes the second, which ends in
            `.h5`.

    Returns:
        Path of the converted file, `NAME-DIGEST.h5`.

    Raises:
        ConnectionError: as `fetch`.
        ValueError: as `fetch`.
        OSError: as `fetch`.
    """
    converted = cache_folder() / f"{preset.name}-{_label(preset)}.h5"
    if not converted.is_file():
        with _workshop() as folder:
            original = _place(preset)
            if original.is_file():
                _check(preset, original)
            else:
                original = _download(preset, folder)
            convert(original, folder / converted.name)
            _move(folder / converted.name, converted)
    return converted


def cache_folder() -> Path:
    """`models/keras_resnext` where Keras keeps what it downloads, which it has no public name for.

    `KERAS_HOME`, or `~/.keras`.
    """
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models/keras_resnext"


def _place(preset):
    """Of the publisher's file."""
    return cache_folder() / PurePosixPath(urlsplit(preset.url).path).name


def _label(preset):
    """Tells apart what the publisher, or the table, has changed."""
    digest = preset.digest or f"url:{hashlib.sha256(preset.url.encode()).hexdigest()}"
    return digest.partition(":")[2][:8]


@contextmanager
def _workshop() -> Iterator[Path]:
    """A folder of this process, on the disk of the cache, that goes with all that is left in it."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder)
    except OSError as error:
        raise OSError(
            f"weights: cannot write to {folder}: {error.strerror}. Mend that, or set KERAS_HOME to "
            "a folder that can be written"
        ) from error
    with temporary as name:
        yield Path(name)


def _download(preset: Preset, folder: Path) -> Path:
    reason = why_unreachable(preset.url, SILENCE_SECONDS)
    if reason:
        raise ConnectionError(_by_hand(preset, reason))
    if preset.licence.upper().startswith("CC-BY-NC"):
        print(
            f"{preset.name}: licensed for non-commercial use only ({preset.licence}), see "
            f"{preset.source}"
        )
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)  # `get_file` has no argument for it
    try:
        path = Path(
            keras.utils.get_file(
                _place(preset).name, preset.url, cache_dir=os.fspath(folder), cache_subdir=""
            )
        )
    except Exception as error:  # `get_file` raises this very class
        raise ConnectionError(_by_hand(preset, error)) from error
    finally:
        socket.setdefaulttimeout(before)
    wrong = _mismatch(preset, path)
    if wrong:
        raise ConnectionError(_by_hand(preset, f"what came is not the publisher's file: {wrong}"))
    return path


def _by_hand(preset, reason):
    return (
        f"weights: {preset.name} is not in the cache, and {preset.url} cannot be downloaded "
        f"({reason}). Try again, or download that URL in a browser and put the file to "
        f"{_place(preset)}"
    )


def _check(preset: Preset, path: Path) -> None:
    wrong = _mismatch(preset, path)
    if wrong:
        raise ValueError(
            f"weights: {path} is not the file of {preset.url}: {wrong}. Remove it, so that it is "
            "downloaded, or put the right one there"
        )


def _mismatch(preset: Preset, path: Path) -> str | None:
    """Say where a file differs from what its publisher states of it, which may be nothing."""
    if preset.digest is None:
        return None
    algorithm, _, expected = preset.digest.partition(":")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    found = digest.hexdigest()[: len(expected)]
    return None if found == expected else f"{algorithm} {found}, the publisher states {expected}"


def _move(source: Path, target: Path) -> None:
    """Put a file in its place, once it is on the disk."""
    with open(source, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(source, target)
