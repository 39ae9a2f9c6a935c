"""The official CIFAR-100 files, found in a folder or in a tar archive, as bytes in memory."""

import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keras_resnext.data.dataset import DatasetError

WEBSITE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, OSError)


@dataclass(frozen=True)
class Layout:
    """One official packing of the data set.

    Attributes:
        name: of its folder; its archive adds ".tar.gz".
        sizes: bytes of each file it needs, None where only a small text is expected.
    """

    name: str
    sizes: dict[str, int | None]


PYTHON = Layout("cifar-100-python", {"train": 155_249_918, "test": 31_049_707, "meta": 1_473})
BINARY = Layout(
    "cifar-100-binary",
    {
        "train.bin": 153_700_000,
        "test.bin": 30_740_000,
        "fine_label_names.txt": None,
        "coarse_label_names.txt": None,
    },
)
LAYOUTS = (PYTHON, BINARY)
_TEXT_LIMIT = 4096


def read_files(path: str | os.PathLike) -> tuple[Layout, dict[str, bytes]]:
    """Read the official files, wherever in `path` they are. Nothing is written to disk.

    Args:
        path: an official archive (cifar-100-python.tar.gz or cifar-100-binary.tar.gz, any
            compression), its unpacked folder, or a folder that holds one of these.

    Returns:
        Which packing it is, and the content of each of its files.

    Raises:
        DatasetError: there is nothing of use, or it is damaged or incomplete.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _from_tar(path)
    if not path.is_dir():
        raise DatasetError(f"data_dir: {path} does not exist. {_advice()}")
    for layout in LAYOUTS:
        for folder in (path / layout.name, path):
            if any((folder / name).is_file() for name in layout.sizes):
                return layout, _from_folder(folder, layout)
        for archive in sorted(path.glob(f"{layout.name}.tar*")):
            return _from_tar(archive)
    raise DatasetError(
        f"data_dir: {path} holds no CIFAR-100. Looked in it for "
        + ", ".join(
            f"{layout.name}/, {layout.name}.tar.gz and the files {', '.join(layout.sizes)}"
            for layout in LAYOUTS
        )
        + f". {_advice()}"
    )


def _advice():
    return (
        f"Get cifar-100-python.tar.gz or cifar-100-binary.tar.gz from {WEBSITE} and pass the "
        "archive, its unpacked folder, or the folder it lies in."
    )


def _from_folder(folder: Path, layout: Layout) -> dict[str, bytes]:
    files = {}
    for name in layout.sizes:
        file = folder / name
        if file.is_file():
            _check_size(layout, name, file.stat().st_size, folder)
            files[name] = file.read_bytes()
    _check_complete(layout, files, folder)
    return files


def _from_tar(path: Path) -> tuple[Layout, dict[str, bytes]]:
    try:
        # A stream read once: members are looked at by name and read into memory, never extracted,
        # so links and paths out of the folder lead nowhere.
        with tarfile.open(path, "r|*") as tar:
            found: dict[str, bytes] = {}
            for layout, name, member in _wanted(tar):
                _check_size(layout, name, member.size, path)
                content = tar.extractfile(member)
                assert content is not None  # a regular file, says _wanted
                found[name] = content.read()
    except _DAMAGE as error:
        raise DatasetError(
            f"data_dir: {path} is damaged, incomplete or no tar archive ({error}). {_advice()}"
        ) from error
    for layout in LAYOUTS:
        if found.keys() & layout.sizes.keys():
            _check_complete(layout, found, path)
            return layout, found
    raise DatasetError(
        f"data_dir: {path} is a tar archive without CIFAR-100: none of its members is named "
        + " or ".join(f"{layout.name}/{name}" for layout in LAYOUTS for name in layout.sizes)
        + f". {_advice()}"
    )


def _wanted(tar: tarfile.TarFile) -> Iterator[tuple[Layout, str, tarfile.TarInfo]]:
    for member in tar:
        path = PurePosixPath(member.name)
        for layout in LAYOUTS:
            if (
                member.isreg()
                and path.name in layout.sizes
                and path.parent in (PurePosixPath(layout.name), PurePosixPath())
            ):
                yield layout, path.name, member


def _check_size(layout: Layout, name: str, size: int, where: Path):
    """Before reading: a wrong file need not be held in memory to be refused."""
    expected = layout.sizes[name]
    if size > _TEXT_LIMIT if expected is None else size != expected:
        wanted = f"at most {_TEXT_LIMIT}" if expected is None else f"{expected}"
        raise DatasetError(
            f"data_dir: {name} in {where} has {size} bytes, the official file {wanted}: "
            f"damaged, incomplete or another data set. {_advice()}"
        )


def _check_complete(layout: Layout, files: dict[str, bytes], where: Path):
    missing = [name for name in layout.sizes if name not in files]
    if missing:
        raise DatasetError(
            f"data_dir: {where} lacks {', '.join(missing)} of {layout.name}. {_advice()}"
        )
