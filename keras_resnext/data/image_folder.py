"""A data set from a folder of the user's own images, one folder a class."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_resnext.data.canonical import stratified_holdout
from keras_resnext.data.dataset import Dataset, DatasetError, Split
from keras_resnext.data.decoding import NO_IMAGE, Unreadable, decode, fingerprints
from keras_resnext.preprocessing import Preprocessing

HELD_OUT = 0.1
SPLIT_SEED = 0

PART_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
EXPECTED = (
    "expected FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE and, if there are such, "
    "FOLDER/validation/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE"
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

    `keras.utils.image_dataset_from_directory` reads neither TIFF nor WebP, takes no notice of the
    EXIF orientation, fails at a damaged file in mid-epoch, and splits regardless of the classes.

    Files that cannot be read are left out and reported on stdout; so are hidden files and files
    that are no images, where their suffix says that they are.

    Args:
        data_dir: the folder.
        preprocessing: how the images are brought to one size, as which they are in memory.

    Returns:
        The data set. Classes are the names of the folders, sorted; each is its own superclass.
        Samples are in the order of their content.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, there are too
            few classes or images, or the images would take more than half of the physical memory
            (where the system tells it: Windows does not).
    """
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"data_dir: {folder} does not exist or is no folder; {EXPECTED}")
    skipped: dict[Path, str] = {}
    try:
        roots = _part_folders(folder, skipped)
        class_names = _class_names(roots)
        samples = {part: find_samples(root, class_names, skipped) for part, root in roots.items()}
        _check_enough(samples, roots, class_names)
        check_memory(sum(map(len, samples.values())), preprocessing.image_size)
        images = {}
        for part, found in samples.items():
            images[part], unreadable = decode([sample.path for sample in found], preprocessing)
            samples[part] = [sample for sample in found if sample.path not in unreadable]
            skipped |= unreadable
        _check_enough(samples, roots, class_names)
    finally:
        report_skipped(folder, skipped)
    splits = {part: _split(images[part], [s.label for s in samples[part]]) for part in images}
    if missing := [part for part in PART_FOLDERS if part not in splits]:
        splits |= _hold_out(splits["train"], samples["train"], missing)
    return Dataset(
        name="folder",
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        class_names=class_names,
        superclass_names=class_names,
        preprocessing=preprocessing,
    )


def _split(images: np.ndarray, labels: Sequence[int] | np.ndarray) -> Split:
    labels = np.asarray(labels, np.int32)
    return Split(images, labels, labels)


def _part_folders(folder: Path, skipped: dict[Path, str]) -> dict[str, Path]:
    """Find where the classes of each part lie; a part that is missing has to be held out."""
    inside = class_folders(folder)
    known = {name for names in PART_FOLDERS.values() for name in names}
    skipped |= dict.fromkeys(_files(folder), LOOSE)
    # A folder "train" of nothing but files, beside "bus" and "tram", is a class.
    if "train" not in inside or not (class_folders(inside["train"]) or inside.keys() <= known):
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
    classes = tuple(sorted(class_folders(roots["train"])))
    if not classes:
        raise DatasetError(f"data_dir: {roots['train']} holds no folders of classes; {EXPECTED}")
    if len(classes) == 1:
        raise DatasetError(
            f"data_dir: {roots['train']} holds one class, {classes[0]!r}; expected a folder for "
            "each of two or more: add one, or give the folder right above the classes"
        )
    for part, root in roots.items():
        if different := class_folders(root).keys() ^ set(classes):
            raise DatasetError(
                f"data_dir: {roots['train']} and {root} hold different classes: "
                f"{listed(map(repr, sorted(different)))} in one of them only; expected the same "
                f"folders in both, or no {part} folder: its images are then held out of train"
            )
    return classes


def find_samples(root: Path, class_names: Sequence[str], skipped: dict[Path, str]) -> list[Sample]:
    """List the images of one part, in the order of their content.

    Args:
        root: holds the folders of the classes.
        class_names: theirs; a sample's label is the place here.
        skipped: to which what cannot be used is added, and why.
    """
    labels: dict[Path, int] = {}
    for label, name in enumerate(class_names):
        skipped |= dict.fromkeys(class_folders(root / name).values(), "a folder within a class")
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


def class_folders(folder: Path) -> dict[str, Path]:
    """Find the folders right below, none of them hidden, by name."""
    return {
        path.name: path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]


def _once(samples: Sequence[Sample]) -> list[int]:
    """Tell which samples have a content that no other has."""
    copies = Counter(sample.digest for sample in samples)
    return [row for row, sample in enumerate(samples) if copies[sample.digest] == 1]


def _check_enough(
    samples: Mapping[str, list[Sample]], roots: Mapping[str, Path], class_names: Sequence[str]
) -> None:
    for part, found in samples.items():
        least = 1 + len(PART_FOLDERS) - len(samples) if part == "train" else 1
        rows = _once(found) if least > 1 else range(len(found))
        counts = Counter(found[row].label for row in rows)
        few = [
            f"{name!r} ({counts[label]})"
            for label, name in enumerate(class_names)
            if counts[label] < least
        ]
        if few:
            raise DatasetError(
                f"data_dir: {roots[part]} has too few images of {listed(few)}; expected {least} "
                "or more a class"
                + (", copies not counted, to train on and hold out" if least > 1 else "")
                + ": add images, or remove the class"
            )


def check_memory(count: int, image_size: int) -> None:
    """Make sure that images fit into half of the physical memory.

    Raises:
        DatasetError: they do not.
    """
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


def _hold_out(split: Split, samples: Sequence[Sample], parts: Sequence[str]) -> dict[str, Split]:
    """Take `parts` out of the training images, which are returned with them, as "train"."""
    digests = [sample.digest for sample in samples]
    candidates = np.array(_once(samples), np.int32)
    rows: dict[str, list[int]] = {part: [] for part in parts}
    for label in np.unique(split.labels):
        members = candidates[split.labels[candidates] == label]
        count = max(1, round(HELD_OUT * len(members)))
        # The holdout goes by keys and labels: of row numbers as labels it copies no image.
        rest = Split(np.empty((len(members), 0, 0, 3), np.uint8), np.zeros_like(members), members)
        for part in rows:
            keys = [digests[row] for row in rest.superclass_labels]
            rest, held_out = stratified_holdout(rest, keys, count, SPLIT_SEED)
            rows[part] += held_out.superclass_labels.tolist()
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


def report_skipped(folder: Path, skipped: Mapping[Path, str]) -> None:
    """Print what is left out of a folder, and why, except what nobody meant as an image."""
    told = {
        path: reason
        for path, reason in skipped.items()
        if reason not in QUIET or path.suffix.lower() in IMAGE_SUFFIXES
    }
    if told:
        print(f"Left out of {folder}: {len(told)} that cannot be used")
    for path in sorted(told)[:NAMES_SHOWN]:
        print(f"  {str(path.relative_to(folder))!r}: {told[path]}")
    if len(told) > NAMES_SHOWN:
        print(f"  and {len(told) - NAMES_SHOWN} more")


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    first = list(names)
    rest = len(first) - NAMES_SHOWN
    return ", ".join(first[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
