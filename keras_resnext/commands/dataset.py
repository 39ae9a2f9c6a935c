"""The data set that a trained network belongs to."""

from dataclasses import replace
from pathlib import Path

from keras_resnext import data
from keras_resnext.data.imagenet_folder import load_imagenet_folder
from keras_resnext.prediction.description import describe, read_description
from keras_resnext.presets import Preset
from keras_resnext.training.trained import Trained


def dataset_of(
    trained: Trained, name: str | None, data_dir: Path | None, image_size: int | None
) -> data.Dataset:
    """Load what the user names; left out, what the network was trained on.

    Args:
        trained: the network.
        name: of the data set; for published weights "folder" stands for images of ImageNet.
        data_dir: where it lies.
        image_size: that its images are brought to, in pixels, their shorter side all seen; None:
            they are brought to it as those were that it was trained on.

    Raises:
        ValueError: nothing says which, or (DatasetError) it cannot be read.
    """
    if trained.preset and name in (None, "folder"):
        return _imagenet(trained.preset, data_dir, image_size)
    settings = trained.settings
    name = name or (settings.dataset if settings else None)
    if not name:
        raise ValueError(
            f"dataset: {trained.path} does not say what it was trained on; give --dataset"
        )
    if settings and settings.dataset == name:
        data_dir = data_dir or settings.data_dir
        if name == "folder" and not image_size and (known := read_description(trained.folder)):
            return data.load(name, data_dir, preprocessing=known.preprocessing)
        image_size = image_size or settings.image_size
    return data.load(name, data_dir, image_size)


def description_of(
    trained: Trained, name: str | None, data_dir: Path | None, image_size: int | None
) -> data.Dataset:
    """Names and preprocessing; the data set is loaded only if no description holds them.

    Args:
        trained: the network.
        name: as of `dataset_of`; where one of these is given, it is loaded.
        data_dir: the same.
        image_size: the same.

    Returns:
        The data set, with images in it or without.

    Raises:
        ValueError: as `dataset_of`, or the description cannot be read.
    """
    given = (name, data_dir, image_size)
    known = describe(trained) if given == (None, None, None) else None
    return known or dataset_of(trained, *given)


def _imagenet(preset: Preset, data_dir: Path | None, image_size: int | None) -> data.Dataset:
    if data_dir is None:
        raise ValueError(
            f"data_dir: {preset.name} comes without images; expected a folder of ImageNet's, such "
            "as its validation images by class"
        )
    preprocessing = preset.preprocessing
    if image_size:
        preprocessing = replace(preprocessing, image_size=image_size, resize_size=image_size)
    return load_imagenet_folder(data_dir, preprocessing)
