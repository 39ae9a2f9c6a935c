"""Data sets from folders of images, and the image files that a user names."""

import glob
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split, check_class_names, ranked
from keras_resnext.data.decoding import NO_IMAGE, Unreadable, decode_files, fingerprints
from keras_resnext.files import say
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names, imagenet_classes

HELD_OUT = 0.1

PART_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
EXPECTED = (
    "expected FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE and, if there are such, "
    "FOLDER/validation/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE"
)
# Folders that systems and programs make by themselves; others of theirs begin with a dot.
SYSTEM_FOLDERS = (
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information"),
    *("lost+found", "__pycache__", "network trash folder"),
)
HIDDEN = "hidden"
LOOSE = "in no folder of a class"
NOWHERE = "a link to nothing, or no file"
# Reasons to leave out what nobody meant as an image; one with such a suffix was meant as one.
QUIET = (HIDDEN, LOOSE, NOWHERE, NO_IMAGE)
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jp2", ".jxl"),
)
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
NAMES_SHOWN = 5


class Sample(NamedTuple):
    """A file and its class. Sorts by content, so that the names of files decide nothing."""

    digest: bytes
    label: int
    path: Path


def load_image_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load a folder of images, to fine-tune on.

    The layout is that of `torchvision.datasets.ImageFolder`, DIR/CLASS/IMAGE, once, or under each
    of train/, validation/ (or val/) and test/. A part without a folder is held out of the training
    images: a tenth of each class, at least one image, chosen by a hash of the file. The choice
    depends neither on names nor on sizes, and a file that occurs more than once is never
    chosen, so that none is on both sides.

    `keras.utils.image_dataset_from_directory` reads neither TIFF nor WebP, ignores the EXIF
    orientation, fails at a damaged file in mid-epoch, and splits regardless of the classes.

    Files that cannot be read are left out and reported on stdout; so are hidden files and files
    that are no images, where their suffix says that they are. Folders that systems make, such as
    `__MACOSX`, are no classes.

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
    folder = _folder(data_dir, EXPECTED)
    skipped: dict[Path, str] = {}
    try:
        roots = _part_folders(folder, skipped)
        class_names = _class_names(roots)
        samples = {part: _find_samples(root, class_names, skipped) for part, root in roots.items()}
        _check_enough(samples, roots, class_names)
        _check_memory(sum(map(len, samples.values())), preprocessing.image_size)
        images = {}
        for part, found in samples.items():
            images[part], samples[part] = _decode(found, preprocessing, skipped)
        _check_enough(samples, roots, class_names)
    finally:
        _report_skipped(folder, skipped)
    splits = {part: _split(images[part], [s.label for s in samples[part]]) for part in images}
    if missing := [part for part in PART_FOLDERS if part not in splits]:
        splits |= _hold_out(splits["train"], [s.digest for s in samples["train"]], missing)
    return Dataset(
        name="folder",
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        class_names=class_names,
        superclass_names=class_names,
        preprocessing=preprocessing,
    )


def load_imagenet_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load ImageNet's validation images, or others of its classes, as the test split.

    The layout is that of `torchvision.datasets.ImageFolder` and timm, DIR/WORDNET_ID/IMAGE, such as
    DIR/n01440764/x.JPEG. Not every class need be there. Files that cannot be read are left out and
    reported on stdout.

    Args:
        data_dir: the folder.
        preprocessing: how images are brought to the one size that they have in memory.

    Returns:
        The data set, its labels ImageNet's; the other splits are empty. Each class is its own
        superclass.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, or the images
            would take more than half of the physical memory.
        ImportError: Pillow is not installed.
    """
    expected = "expected FOLDER/WORDNET_ID/IMAGE, such as n01440764/x.JPEG"
    folder = _folder(data_dir, expected)
    label_of = {each.wordnet_id: label for label, each in enumerate(imagenet_classes())}
    present = sorted(_class_folders(folder))
    if unknown := [name for name in present if name not in label_of]:
        raise DatasetError(
            f"data_dir: {folder} holds folders of no ImageNet class, {_listed(map(repr, unknown))};"
            f" {expected}"
        )
    skipped: dict[Path, str] = {}
    try:
        samples = _find_samples(folder, present, skipped)
        _check_memory(len(samples), preprocessing.image_size)
        images, samples = _decode(samples, preprocessing, skipped)
    finally:
        _report_skipped(folder, skipped)
    if not samples:
        raise DatasetError(f"data_dir: {folder} holds no images; {expected}")
    test = _split(images, [label_of[present[sample.label]] for sample in samples])
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
    path = Path(name).expanduser()
    if path.is_dir():
        found = sorted(
            each
            for each in path.rglob("*")
            if each.suffix.lower() in IMAGE_SUFFIXES
            and each.is_file()
            and not any(map(_ignored, each.relative_to(path).parts))
        )
        what = f"an image ({', '.join(IMAGE_SUFFIXES)})"
    elif path.is_file():
        return [path]
    else:
        matches = map(Path, glob.glob(str(path), recursive=True))
        found = sorted(match for match in matches if match.is_file())
        what = "a file"
    if not found:
        raise ValueError(f"images: expected {what} by the name {name}, found none")
    return found


def _ignored(name: str) -> bool:
    """Whether a folder or file of this name is hidden, or a system made it."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def _folder(data_dir: str | os.PathLike, expected: str) -> Path:
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"data_dir: {folder} does not exist or is no folder; {expected}")
    return folder


def _split(images: np.ndarray, labels: Sequence[int] | np.ndarray) -> Split:
    labels = np.asarray(labels, np.int32)
    return Split(images, labels, labels)


def _part_folders(folder: Path, skipped: dict[Path, str]) -> dict[str, Path]:
    """Find where the classes of each part lie; a part that is missing has to be held out."""
    inside = _class_folders(folder)
    known = {name for names in PART_FOLDERS.values() for name in names}
    skipped |= dict.fromkeys(_files(folder), LOOSE)
    # A folder "train" of nothing but files, beside "bus" and "tram", is a class.
    if "train" not in inside or not (_class_folders(inside["train"]) or inside.keys() <= known):
        return {"train": folder}
    if {"validation", "val"} <= inside.keys():
        raise DatasetError(
            f"data_dir: {folder} holds validation/ and val/; expected one: merge or rename them"
        )
    roots = {}
    for part, names in PART_FOLDERS.items():
        for name in inside.keys() & names:
            roots[part] = inside[name]
            skipped |= dict.fromkeys(_files(inside[name]), LOOSE)
    skipped |= {inside[name]: "not train, validation or test" for name in inside.keys() - known}
    return roots


def _class_names(roots: Mapping[str, Path]) -> tuple[str, ...]:
    classes = tuple(sorted(_class_folders(roots["train"])))
    if not classes:
        raise DatasetError(f"data_dir: {roots['train']} holds no folders of classes; {EXPECTED}")
    if len(classes) == 1:
        raise DatasetError(
            f"data_dir: {roots['train']} holds one class, {classes[0]!r}; expected a folder for "
            "each of two or more: add one, or give the folder right above the classes"
        )
    check_class_names(classes)
    for part, root in roots.items():
        if different := _class_folders(root).keys() ^ set(classes):
            raise DatasetError(
                f"data_dir: {roots['train']} and {root} hold different classes: "
                f"{_listed(map(repr, sorted(different)))} in one of them only; expected the same "
                f"folders in both, or no {part} folder: its images are then held out of train"
            )
    return classes


def _find_samples(root: Path, class_names: Sequence[str], skipped: dict[Path, str]) -> list[Sample]:
    """List the images of one part, in the order of their content.

    Args:
        root: holds the folders of the classes.
        class_names: theirs; a sample's label is the index here.
        skipped: to which what cannot be used is added, and why.
    """
    labels: dict[Path, int] = {}
    for label, name in enumerate(class_names):
        skipped |= dict.fromkeys(_class_folders(root / name).values(), "a folder within a class")
        for path in _files(root / name):
            if path.name.startswith("."):
                skipped[path] = HIDDEN
            elif not path.is_file():
                skipped[path] = NOWHERE
            else:
                labels[path] = label
    samples = []
    for path, found in zip(labels, fingerprints(list(labels)), strict=True):
        if isinstance(found, Unreadable):
            skipped[path] = found.reason
        else:
            samples.append(Sample(found, labels[path], path))
    return sorted(samples)


def _decode(
    samples: list[Sample], preprocessing: Preprocessing, skipped: dict[Path, str]
) -> tuple[np.ndarray, list[Sample]]:
    """Decode the samples; those that cannot be are added to `skipped` and left out."""
    images, unreadable = decode_files([sample.path for sample in samples], preprocessing)
    skipped |= unreadable
    return images, [sample for sample in samples if sample.path not in unreadable]


def _class_folders(folder: Path) -> dict[str, Path]:
    """Find the folders right below, neither hidden nor a system's, by name."""
    return {
        path.name: path for path in folder.iterdir() if path.is_dir() and not _ignored(path.name)
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]


def _check_enough(
    samples: Mapping[str, list[Sample]], roots: Mapping[str, Path], class_names: Sequence[str]
) -> None:
    for part, found in samples.items():
        least = 1 + len(PART_FOLDERS) - len(samples) if part == "train" else 1
        copies = Counter(sample.digest for sample in found)
        counts = Counter(
            sample.label for sample in found if least == 1 or copies[sample.digest] == 1
        )
        few = [
            f"{name!r} ({counts[label]})"
            for label, name in enumerate(class_names)
            if counts[label] < least
        ]
        if few:
            raise DatasetError(
                f"data_dir: {roots[part]} has too few images of {_listed(few)}; expected {least} "
                "or more per class"
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
    divided = {
        part: _split(split.images[sorted(chosen)], split.labels[sorted(chosen)])
        for part, chosen in rows.items()
    }
    left = np.setdiff1d(np.arange(len(split)), np.concatenate([*rows.values()]))
    # In place: a second copy of the training images might not fit into memory.
    for new, old in enumerate(left):
        split.images[new] = split.images[old]
    divided["train"] = _split(split.images[: len(left)], split.labels[left])
    return divided


def _report_skipped(folder: Path, skipped: Mapping[Path, str]) -> None:
    """Print what is left out of a folder, and why, except what nobody meant as an image."""
    told = {
        path: reason
        for path, reason in skipped.items()
        if reason not in QUIET or path.suffix.lower() in IMAGE_SUFFIXES
    }
    if told:
        say(f"Left out of {folder}: {len(told)} that cannot be used")
    for path in sorted(told)[:NAMES_SHOWN]:
        say(f"  {str(path.relative_to(folder))!r}: {told[path]}")
    if len(told) > NAMES_SHOWN:
        say(f"  and {len(told) - NAMES_SHOWN} more")


def _listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    first = list(names)
    rest = len(first) - NAMES_SHOWN
    return ", ".join(first[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
