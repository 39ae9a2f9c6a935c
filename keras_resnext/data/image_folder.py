"""Data sets from folders of images, and the image files that a user names."""

import glob
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split, check_class_names, ranked
from keras_resnext.data.decoding import NO_IMAGE, decode_files
from keras_resnext.files import say
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names, imagenet_classes

HELD_OUT = 0.1
PARTS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
# Folders that systems and programs make by themselves; others of theirs begin with a dot.
SYSTEM_FOLDERS = (
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information"),
    *("lost+found", "__pycache__", "network trash folder"),
)
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jp2", ".jxl"),
)
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
SHOWN = 5


def load_image_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load a folder of images, to fine-tune on.

    The layout is that of `torchvision.datasets.ImageFolder`, DIR/CLASS/IMAGE, once, or under each
    of train/, validation/ (or val/) and test/. A part without a folder is held out of the training
    images: a tenth of each class, at least one image, chosen by a hash of the file. The choice
    depends neither on names nor on sizes, and a file that occurs more than once is never
    chosen, so that none is on both sides.

    `keras.utils.image_dataset_from_directory` reads neither TIFF nor WebP, ignores the EXIF
    orientation, fails at a damaged file in mid-epoch, and splits regardless of the classes.

    Files that cannot be read are left out and reported on stdout, unless nobody meant them as
    images by their suffix. Folders that systems make, such as `__MACOSX`, are no classes.

    Args:
        data_dir: the folder.
        preprocessing: how images are brought to the one size that they have in memory.

    Returns:
        The data set. Classes are the names of the folders, sorted; each is its own superclass.
        Samples are in the order of their content.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, there are too
            few classes or images, a class name cannot be shown or written, or the images would
            take more than half of the physical memory (where the system tells it: Windows does
            not).
        ImportError: Pillow is not installed.
    """
    folder = Path(data_dir).expanduser()
    roots = _part_folders(folder)
    class_names = _class_names(roots)
    missing = [part for part in PARTS if part not in roots]
    splits = {}
    for part, root in roots.items():
        splits[part], digests = _read(root, class_names, range(len(class_names)), preprocessing)
        least = 1 + len(missing) if part == "train" else 1
        _check_enough(splits[part], digests, class_names, least, root)
        if part == "train" and missing:
            splits |= _hold_out(splits["train"], digests, missing)
    return Dataset(
        name="folder",
        **splits,
        class_names=class_names,
        superclass_names=class_names,
        preprocessing=preprocessing,
    )


def load_imagenet_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load ImageNet's validation images, or others of its classes, as the test split.

    The layout is that of torchvision and timm, DIR/WORDNET_ID/IMAGE, such as
    DIR/n01440764/x.JPEG; not every class need be there. Arguments, what is left out, and errors
    are those of `load_image_folder`. Labels are ImageNet's, the other splits are empty, and each
    class is its own superclass.
    """
    folder = Path(data_dir).expanduser()
    expected = "expected FOLDER/WORDNET_ID/IMAGE, such as n01440764/x.JPEG"
    label_of = {each.wordnet_id: label for label, each in enumerate(imagenet_classes())}
    present = sorted(_class_folders(folder))
    if unknown := [name for name in present if name not in label_of]:
        raise DatasetError(
            f"data_dir: {folder} holds folders of no ImageNet class, {_listed(unknown)}; {expected}"
        )
    test, _ = _read(folder, present, [label_of[name] for name in present], preprocessing)
    if not len(test):
        raise DatasetError(f"data_dir: {folder} holds no images; {expected}")
    none = test.take(np.zeros(0, int))
    names = imagenet_class_names()
    return Dataset("imagenet", none, none, test, names, names, preprocessing)


def find_images(names: Sequence[str | os.PathLike]) -> list[Path]:
    """List the image files that a user names, each once.

    Args:
        names: files, folders or patterns of `glob` ("**" for any depth of folders). Of a folder,
            those with the suffix of an image, at any depth, neither hidden nor in a system's
            folders.

    Returns:
        The files in the order of `names`, those of a folder or pattern sorted.

    Raises:
        ValueError: nothing is there by one of the names, or it is a URL.
    """
    if not names:
        raise ValueError("images: expected a file, folder or pattern, got none")
    found = [path for name in names for path in _find(os.fspath(name))]
    return list(dict.fromkeys(found))


def _find(name: str) -> list[Path]:
    if URL.match(name):
        raise ValueError(f"images: expected a file, got the URL {name}; download it first")
    path, what = Path(name).expanduser(), "a file"
    if path.is_file():
        return [path]
    if path.is_dir():
        what = f"an image ({', '.join(IMAGE_SUFFIXES)})"
        matches = [
            each
            for each in path.rglob("*")
            if each.suffix.lower() in IMAGE_SUFFIXES
            and not any(map(_ignored, each.relative_to(path).parts))
        ]
    else:
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    found = sorted(match for match in matches if match.is_file())
    if not found:
        raise ValueError(f"images: expected {what} by the name {name}, found none")
    return found


def _ignored(name: str) -> bool:
    """Whether a folder or file of this name is hidden, or a system made it."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def _class_folders(folder: Path) -> dict[str, Path]:
    """Find the folders right below, neither hidden nor a system's, by name."""
    if not folder.is_dir():
        raise DatasetError(f"data_dir: {folder} does not exist or is no folder; expected one")
    return {
        path.name: path for path in folder.iterdir() if path.is_dir() and not _ignored(path.name)
    }


def _part_folders(folder: Path) -> dict[str, Path]:
    """Find where the classes of each part lie; a part that is missing has to be held out."""
    inside = _class_folders(folder)
    roots = {
        part: inside[name] for part, names in PARTS.items() for name in names if name in inside
    }
    known = {name for names in PARTS.values() for name in names}
    # A folder "train" of nothing but files, beside "bus" and "tram", is a class.
    if "train" not in inside or not (_class_folders(inside["train"]) or inside.keys() <= known):
        return {"train": folder}
    if {"validation", "val"} <= inside.keys():
        raise DatasetError(
            f"data_dir: {folder} holds validation/ and val/; expected one: merge or rename them"
        )
    return roots


def _class_names(roots: Mapping[str, Path]) -> tuple[str, ...]:
    classes = tuple(sorted(_class_folders(roots["train"])))
    if len(classes) < 2:
        raise DatasetError(
            f"data_dir: {roots['train']} holds {len(classes)} folders of classes, "
            f"{_listed(classes)}; expected two or more, FOLDER/CLASS/IMAGE, or "
            "FOLDER/train/CLASS/IMAGE and, if there are such, FOLDER/validation/CLASS/IMAGE and "
            "FOLDER/test/CLASS/IMAGE"
        )
    check_class_names(classes)
    for part, root in roots.items():
        if different := _class_folders(root).keys() ^ set(classes):
            raise DatasetError(
                f"data_dir: {roots['train']} and {root} hold different classes: "
                f"{_listed(sorted(different))} in one of them only; expected the same folders in "
                f"both, or no {part} folder: its images are then held out of train"
            )
    return classes


def _read(
    root: Path, class_names: Sequence[str], labels: Sequence[int], preprocessing: Preprocessing
) -> tuple[Split, list[bytes]]:
    """Read the images of one part, in the order of their content: names of files decide nothing.

    Args:
        root: holds the folders of the classes.
        class_names: theirs.
        labels: of each of `class_names`.
        preprocessing: how images are brought to one size.

    Returns:
        The images that can be read, and the SHA-256 of their files.
    """
    skipped = {path: "in no folder of a class" for path in root.iterdir() if not path.is_dir()}
    label_of: dict[Path, int] = {}
    for name, label in zip(class_names, labels, strict=True):
        for path in (root / name).iterdir():
            if path.is_file() and not path.name.startswith("."):
                label_of[path] = label
            elif not path.is_dir():
                skipped[path] = "hidden" if path.name.startswith(".") else "no file"
            elif not _ignored(path.name):
                skipped[path] = "a folder within a class"
    _check_memory(len(label_of), preprocessing.image_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        samples = sorted(zip(pool.map(_digest, label_of), label_of, strict=True))
    images, unreadable = decode_files([path for _, path in samples], preprocessing)
    _report(root, skipped | unreadable)
    samples = [(digest, path) for digest, path in samples if path not in unreadable]
    numbers = np.array([label_of[path] for _, path in samples], np.int32)
    return Split(images, numbers, numbers), [digest for digest, _ in samples]


def _digest(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""  # decoding says why


def _report(root: Path, skipped: Mapping[Path, str]) -> None:
    """Print what is left out, and why, but for files that nobody meant as an image."""
    quiet = ("in no folder of a class", "hidden", "no file", NO_IMAGE)
    told = [
        f"  {str(path.relative_to(root))!r}: {reason}"
        for path, reason in sorted(skipped.items())
        if reason not in quiet or path.suffix.lower() in IMAGE_SUFFIXES
    ]
    if told:
        more = [f"  and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        heading = f"Left out of {root}: {len(told)} that cannot be used"
        say("\n".join([heading, *told[:SHOWN], *more]))


def _check_enough(
    split: Split, digests: list[bytes], class_names: Sequence[str], least: int, root: Path
) -> None:
    copies = Counter(digests)
    counts = Counter(
        label
        for label, digest in zip(split.labels.tolist(), digests, strict=True)
        if least == 1 or copies[digest] == 1
    )
    few = [(name, counts[label]) for label, name in enumerate(class_names) if counts[label] < least]
    if few:
        raise DatasetError(
            f"data_dir: {root} has too few images of {_listed(few)}; expected {least} or more per "
            "class"
            + (", copies not counted, to train on and hold out" if least > 1 else "")
            + ": add images, or remove the class"
        )


def _check_memory(count: int, image_size: int) -> None:
    """Check that images fit into half of the physical memory, so far as the system tells it."""
    if not hasattr(os, "sysconf"):
        return
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = count * image_size**2 * 3
    if needed > physical / 2:
        raise DatasetError(
            f"image_size: {count} images of {image_size}x{image_size} take "
            f"{needed / 2**30:.1f} GiB, expected at most half of the {physical / 2**30:.1f} GiB of "
            f"memory: choose {math.isqrt(physical // (6 * count))} or less, or fewer images"
        )


def _hold_out(split: Split, digests: list[bytes], parts: Sequence[str]) -> dict[str, Split]:
    """Take `parts` out of the training images, which are returned with them, as "train"."""
    rows: dict[str, list[int]] = {part: [] for part in parts}
    for members in ranked(digests, split.labels).values():
        count = max(1, round(HELD_OUT * len(members)))
        for i, part in enumerate(parts):
            rows[part] += members[i * count : (i + 1) * count]
    divided = {part: split.take(np.sort(chosen)) for part, chosen in rows.items()}
    left = np.setdiff1d(np.arange(len(split)), np.concatenate([*rows.values()]))
    # In place: a second copy of the training images might not fit into memory.
    for new, old in enumerate(left):
        split.images[new] = split.images[old]
    labels = split.labels[left]
    return divided | {"train": Split(split.images[: len(left)], labels, labels)}


def _listed(values: Iterable) -> str:
    """The first values, and how many more there are."""
    shown = [repr(value) for value in values]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" * (len(shown) > SHOWN))
