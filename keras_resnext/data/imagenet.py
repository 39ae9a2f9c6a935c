"""ImageNet-1k, or some of its classes, to train and to evaluate on."""

import csv
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split
from keras_resnext.data.decoding import ImageFiles, pool
from keras_resnext.data.image_folder import IMAGE_SUFFIXES, class_folders
from keras_resnext.files import few, require, users_path
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names, imagenet_classes

KAGGLE = "LOC_val_solution.csv"
DEVKIT = "ILSVRC2012_devkit_t12"
WITHIN = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")  # the last as Kaggle packs it
EXPECTED = "expected FOLDER/WORDNET_ID/IMAGE, such as n01440764/x.JPEG"


def load_imagenet(
    data_dir: str | os.PathLike,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Load ImageNet-1k, or images of some of its classes; they are decoded when needed.

    The layout is DIR/train/WORDNET_ID/IMAGE, and DIR/val/ likewise or with the official images in
    one folder; their labels are then read from the devkit (ILSVRC2012_devkit_t12, folder or
    archive) or Kaggle's LOC_val_solution.csv, in DIR or above. DIR may also be Kaggle's unpacked
    download, or itself a folder of WORDNET_ID/IMAGE to evaluate on. Of 1.28 million files only
    names are read, in whose order they are.

    Validation and test split are both the official validation set, whose accuracy everybody
    reports: so the best epoch's test accuracy is a little optimistic; the last one's is not.

    Args:
        data_dir: the folder.
        preprocessing: how images are brought to one size.
        class_names: a checkpoint's classes, whose labels to give; default: the classes in train/,
            or without it all 1000. Validation images of other classes are left out.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, or labels are
            missing.
        ImportError: Pillow is not installed, or SciPy to read the devkit.
    """
    folder = users_path(data_dir)
    roots = [folder / within / part for within in WITHIN for part in ("train", "val")]
    found = {root.name: _list(root) for root in roots if root.is_dir()} or {"val": _list(folder)}
    train, val = (found.get(part, {}) for part in ("train", "val"))
    every = imagenet_class_names()
    name_of = {each.wordnet_id: name for each, name in zip(imagenet_classes(), every, strict=True)}
    if unknown := {*train.values(), *val.values()} - name_of.keys():
        raise DatasetError(
            f"data_dir: {folder} holds folders of no ImageNet class, "
            f"{few(map(repr, sorted(unknown)))}; {EXPECTED}"
        )
    if class_names and set(class_names) <= set(every):
        known = tuple(class_names)
    elif train and not (class_names and len(class_names) == len(every)):
        known = tuple(name_of[wordnet_id] for wordnet_id in sorted(set(train.values())))
    else:
        known = every
    label_of = {
        wordnet_id: known.index(name) for wordnet_id, name in name_of.items() if name in known
    }
    if left_out := {*val.values()} - label_of.keys():
        print(f"Left out of {folder}: validation images of {len(left_out)} other classes")

    def split(files: dict[str, str]) -> Split:
        kept = {path: label_of[each] for path, each in files.items() if each in label_of}
        labels = np.array([*kept.values()], np.int32)
        return Split(ImageFiles([*kept], preprocessing), labels, labels)

    training, validation = split(train), split(val)
    if not len(training) + len(validation):
        raise DatasetError(f"data_dir: {folder} holds no images; {EXPECTED}")
    return Dataset("imagenet", training, validation, validation, known, known, preprocessing)


def _list(root: Path) -> dict[str, str]:
    """List WordNet ids by image file, in the order of the paths."""
    names = sorted(class_folders(root))
    found = pool().map(_images, (root / name for name in names))
    files = {path: name for name, own in zip(names, found, strict=True) for path in own}
    if names or not (flat := _images(root)):
        return files
    id_of = _official_ids(root)
    return {path: id_of[stem] for path in flat if (stem := Path(path).stem) in id_of}


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith(".")
        )


def _official_ids(val: Path) -> dict[str, str]:
    """WordNet ids of the official validation images by name, from a file in `val` or above it."""
    val = val.absolute()
    for folder in (val, *val.parents[:4]):
        try:
            if (folder / KAGGLE).is_file():
                with open(folder / KAGGLE, newline="", encoding="utf-8") as file:
                    rows = csv.DictReader(file)
                    return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
            if (folder / DEVKIT).is_dir() or (folder / f"{DEVKIT}.tar.gz").is_file():
                return _read_devkit(folder)
        except (AttributeError, IndexError, KeyError, OSError, tarfile.TarError, ValueError) as bad:
            raise DatasetError(f"data_dir: the labels of {val} in {folder}: {bad!r}") from bad
    raise DatasetError(
        f"data_dir: the images of {val} need labels; put {DEVKIT}.tar.gz or {KAGGLE} beside the "
        "folder, or the images into a folder for each WordNet id"
    )


def _read_devkit(folder: Path) -> dict[str, str]:
    loadmat = require("scipy.io", "reading ImageNet's devkit needs SciPy", "scipy").loadmat
    names = [
        f"{DEVKIT}/data/{name}" for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")
    ]
    if (folder / DEVKIT).is_dir():
        meta, truth = ((folder / name).read_bytes() for name in names)
    else:
        with tarfile.open(folder / f"{DEVKIT}.tar.gz") as tar:
            meta, truth = (tar.extractfile(name).read() for name in names)  # type: ignore
    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    id_of = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets}
    numbers = enumerate(truth.split(), start=1)
    return {f"ILSVRC2012_val_{i:08}": id_of[int(number)] for i, number in numbers}
