"""A data set of ImageNet's classes from a folder of images, to measure on."""

import os
from pathlib import Path

import numpy as np

from keras_resnext.data.dataset import Dataset, DatasetError, Split
from keras_resnext.data.decoding import decode
from keras_resnext.data.image_folder import (
    check_memory,
    class_folders,
    find_samples,
    listed,
    report_skipped,
)
from keras_resnext.imagenet_classes import imagenet_class_names, imagenet_classes
from keras_resnext.preprocessing import Preprocessing


def load_imagenet_folder(data_dir: str | os.PathLike, preprocessing: Preprocessing) -> Dataset:
    """Load ImageNet's validation images, or others of its classes, as the test split.

    The layout is that of `torchvision.datasets.ImageFolder` and timm, DIR/WORDNET_ID/IMAGE, such as
    DIR/n01440764/x.JPEG. Not every class need be there. Files that cannot be read are left out and
    reported on stdout.

    Args:
        data_dir: the folder.
        preprocessing: how the images are brought to one size, as which they are in memory.

    Returns:
        The data set, its labels ImageNet's; the other splits are empty. Each class is its own
        superclass.

    Raises:
        DatasetError: (a ValueError) the folder is not there or laid out otherwise, or the images
            would take more than half of the physical memory.
    """
    folder = Path(data_dir).expanduser()
    expected = "expected FOLDER/WORDNET_ID/IMAGE, such as n01440764/x.JPEG"
    if not folder.is_dir():
        raise DatasetError(f"data_dir: {folder} does not exist or is no folder; {expected}")
    label_of = {each.wordnet_id: label for label, each in enumerate(imagenet_classes())}
    present = sorted(class_folders(folder))
    if unknown := [name for name in present if name not in label_of]:
        raise DatasetError(
            f"data_dir: {folder} holds folders of no ImageNet class, {listed(unknown)}; {expected}"
        )
    skipped: dict[Path, str] = {}
    try:
        samples = find_samples(folder, present, skipped)
        check_memory(len(samples), preprocessing.image_size)
        images, unreadable = decode([sample.path for sample in samples], preprocessing)
        skipped |= unreadable
    finally:
        report_skipped(folder, skipped)
    labels = np.array(
        [label_of[present[s.label]] for s in samples if s.path not in unreadable], np.int32
    )
    if not len(labels):
        raise DatasetError(f"data_dir: {folder} holds no images; {expected}")
    test = Split(images, labels, labels)
    none = test.take(np.zeros(0, int))
    names = imagenet_class_names()
    return Dataset("imagenet", none, none, test, names, names, preprocessing)
