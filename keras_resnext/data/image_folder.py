"""Data sets from folders of images, and the image files that a user names."""

import glob
import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split, check_class_names, ranked
from keras_resnext.data.decoding import NO_IMAGE, ImageFiles, open_image, pool, reason
from keras_resnext.files import few, users_path
from keras_resnext.preprocessing import Preprocessing

HELD_OUT = 0.1
PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
# Folders that systems and programs make by themselves; others of theirs begin with a dot.
SYSTEM_FOLDERS = (
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information"),
    *("lost+found", "__pycache__", "network trash folder"),
)
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".avif", ".heic", ".heif", ".jp2", ".jxl"),
)
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
SHOWN = 5


def load_image_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load a folder of images, to fine-tune on; they are decoded when needed (`ImageFiles`).

    The layout is that of `torchvision.datasets.ImageFolder`, DIR/CLASS/IMAGE, once, or under each
    of train/, validation/ (or val/, valid/) and test/. A part without a folder is held out of the
    training images: a tenth of each class, at least one image, chosen by a hash of the file, not by
    names or sizes; files that occur more than once are never chosen, so none is on both sides.
    Samples are then in the order of their content, else of their names, as classes are.

    Files that are no images by their first bytes are left out and reported on stdout, unless
    nobody meant them as images by their suffix. Passed over are hidden files, folders that systems
    make, such as `__MACOSX`, and a folder around the one meant, as out of a zip file.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, there are too
            few classes or images, or a class name cannot be shown or written.
        ImportError: Pillow is not installed.
    """
    roots = _part_folders(_innermost(users_path(data_dir)))
    class_names = _class_names(roots)
    missing = [part for part in PARTS if part not in roots]
    splits: dict[str, Split] = {}
    for part, root in roots.items():
        parts = missing if part == "train" else []
        split, digests = _list(root, class_names, preprocessing, hashed=bool(parts))
        splits[part], held_out = _hold_out(split, digests, class_names, parts, root)
        splits |= held_out
    train, validation, test = (splits[part] for part in PARTS)
    return Dataset("folder", train, validation, test, class_names, class_names, preprocessing)


def find_images(names: Sequence[str | os.PathLike]) -> list[Path]:
    """List the image files that a user names, each once, in that order.

    Names are files, folders or patterns of `glob` ("**" for any depth of folders). Of a folder,
    those with the suffix of an image, at any depth, neither hidden nor in a system's folders.

    Raises:
        ValueError: nothing is there by one of the names, or it is a URL.
    """
    if not names or "" in names:  # which would be the working directory
        raise ValueError("images: expected a file, folder or pattern, got none")
    found = [path for name in names for path in _find(os.fspath(name))]
    return list(dict.fromkeys(found))


def _find(name: str) -> list[Path]:
    if URL.match(name):
        raise ValueError(f"images: expected a file, got the URL {name}; download it first")
    path, what = users_path(name), "a file"
    if path.is_dir():
        what = f"an image ({', '.join(IMAGE_SUFFIXES)})"
        inside = (each for each in path.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
        matches = [each for each in inside if not any(map(_ignored, each.relative_to(path).parts))]
    else:
        matched = [path] if path.is_file() else glob.glob(str(path), recursive=True)
        matches = [Path(match) for match in matched]
    found = sorted(match for match in matches if match.is_file())
    if not found:
        raise ValueError(f"images: expected {what} by the name {name}, found none")
    return found


def _ignored(name: str) -> bool:
    """Whether a folder or file of this name is hidden, or a system made it."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def _inside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not _ignored(path.name)]


def class_folders(folder: Path) -> dict[str, Path]:
    """Find the folders right below, neither hidden nor a system's, by name."""
    if not folder.is_dir():
        raise DatasetError(f"data_dir: {folder} does not exist or is no folder; expected one")
    return {path.name: path for path in _inside(folder) if path.is_dir()}


def _innermost(folder: Path) -> Path:
    """The folder itself, or the only one in it that holds folders."""
    inside = class_folders(folder)
    if len(inside) > 1 or any(name.lower() in PARTS["train"] for name in inside):
        return folder
    for path in inside.values():
        images = any(each.suffix.lower() in IMAGE_SUFFIXES for each in path.iterdir())
        if class_folders(path) and not images:
            return _innermost(path)
    return folder


def _part_folders(folder: Path) -> dict[str, Path]:
    """Find where the classes of each part lie; a part that is missing has to be held out."""
    inside = class_folders(folder)
    found = {
        part: [name for name in inside if name.lower() in names] for part, names in PARTS.items()
    }
    known = sum(map(len, found.values()))
    # A folder "train" of nothing but files, beside "bus" and "tram", is a class.
    if not any(class_folders(inside[name]) or known == len(inside) for name in found["train"]):
        return {"train": folder}
    if twice := [sorted(names) for names in found.values() if len(names) > 1]:
        raise DatasetError(
            f"data_dir: {folder} holds {'/ and '.join(twice[0])}/; expected one: merge or rename"
        )
    return {part: inside[name] for part, names in found.items() for name in names}


def _class_names(roots: Mapping[str, Path]) -> tuple[str, ...]:
    classes = tuple(sorted(class_folders(roots["train"])))
    if len(classes) < 2:
        raise DatasetError(
            f"data_dir: {roots['train']} holds {len(classes)} folders of classes, "
            f"{few(map(repr, classes))}; expected 2 or more, FOLDER/CLASS/IMAGE or "
            "FOLDER/train/CLASS/IMAGE"
        )
    check_class_names(classes, "data_dir")
    for part, root in roots.items():
        if different := class_folders(root).keys() ^ set(classes):
            raise DatasetError(
                f"data_dir: {roots['train']} and {root} hold different classes: "
                f"{few(map(repr, sorted(different)))} in one of them only; expected the same "
                f"folders in both, or no {part} folder: its images are then held out of train"
            )
    return classes


def _list(
    root: Path, class_names: Sequence[str], preprocessing: Preprocessing, *, hashed: bool
) -> tuple[Split, list[bytes]]:
    """List the images of one part in the order of their files' SHA-256, if hashed, and these."""
    skipped = {path: "in no folder of a class" for path in _inside(root) if not path.is_dir()}
    samples = []
    examine = partial(_examine, hashed=hashed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        for label, name in enumerate(class_names):
            inside = _inside(root / name)
            skipped |= {path: "a folder within a class" for path in inside if path.is_dir()}
            paths = [path for path in inside if path not in skipped]
            for path, found in zip(paths, pool().map(examine, paths), strict=True):
                if isinstance(found, str):
                    skipped[path] = found
                else:
                    samples.append((found, path, label))
    _report(root, skipped)
    digests, files, numbers = zip(*sorted(samples), strict=True) if samples else ((), (), ())
    labels = np.array(numbers, np.int32)
    return Split(ImageFiles([*map(str, files)], preprocessing), labels, labels), [*digests]


def _examine(path: Path, hashed: bool) -> bytes | str:
    """The SHA-256 of an image file, empty if that is not wanted, or what is wrong with its header.

    It takes the whole file, which may be one of a hundred gigabytes of them.
    """
    try:
        with open_image(path), open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest() if hashed else b""
    except Exception as error:
        return reason(error)


def _report(root: Path, skipped: Mapping[Path, str]) -> None:
    """Print what is left out, and why, but for files that nobody meant as an image."""
    quiet = ("in no folder of a class", NO_IMAGE)
    told = [
        f"  {str(path.relative_to(root))!r}: {why}"
        for path, why in sorted(skipped.items())
        if why not in quiet or path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if told:
        more = [f"  and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        print("\n".join([f"Left out of {root}: {len(told)} files", *told[:SHOWN], *more]))


def _hold_out(
    split: Split, digests: list[bytes], class_names: Sequence[str], parts: Sequence[str], root: Path
) -> tuple[Split, dict[str, Split]]:
    """Check that each class has enough images, and take `parts` out: what is left, and those."""
    members = ranked(digests, split.labels)
    counts = Counter(split.labels.tolist())
    if parts:
        counts = Counter({label: len(own) for label, own in members.items()})
    scarce = [(name, counts[i]) for i, name in enumerate(class_names) if counts[i] <= len(parts)]
    if scarce:
        copied = ", copies not counted, to train on and hold out" if parts else ""
        raise DatasetError(
            f"data_dir: {root} has too few images of {few(map(repr, scarce))}; expected "
            f"{1 + len(parts)} or more per class{copied}: add images, or remove the class"
        )
    rows: dict[str, list[int]] = {part: [] for part in parts}
    for own in members.values():
        count = max(1, round(HELD_OUT * len(own)))
        for i, part in enumerate(parts):
            rows[part] += own[i * count : (i + 1) * count]
    left = np.setdiff1d(np.arange(len(split)), [row for part in parts for row in rows[part]])
    held_out = {part: split.take(np.sort(chosen)) for part, chosen in rows.items()}
    return split.take(left), held_out
