"""The options that name a trained network, its data set, and how its images are seen."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from keras_resnext import data
from keras_resnext.data.imagenet_folder import load_imagenet_folder
from keras_resnext.prediction.description import describe, read_description
from keras_resnext.presets import Preset
from keras_resnext.training.recipes import recipe
from keras_resnext.training.trained import Trained, find_trained


@dataclass(frozen=True)
class TrainedOptions:
    """What a trained network does not say of itself."""

    weights: Literal["best", "last"] = "best"
    """Of a run: the weights of its best epoch on the validation split, or of its last."""
    settings: str | None = None
    """Recipe or settings file that a lone model or weights file was trained with; left out:
    the settings.toml beside it."""
    dataset: Literal["cifar100", "demo", "folder"] | None = None
    """Data set; left out: the run's, or the one that the settings name. For published weights,
    folder: images of ImageNet, in folders by WordNet id, all of them the test split."""
    data_dir: Path | None = None
    """Where the official CIFAR-100 archive or folder lies, or the folder of images; left out: as
    the settings say."""
    image_size: int | None = None
    """Height and width that the images of a folder are brought to, their shorter side all seen;
    left out: they are brought to it as those were that the network was trained on."""

    def find(self, target: Path) -> Trained:
        """Find what the user named.

        Raises:
            ValueError: it is not there, or settings are missing.
        """
        given = recipe(self.settings) if self.settings else None
        return find_trained(target, self.weights, given)

    @property
    def names_data(self) -> bool:
        """Whether they say anything of the data set."""
        return (self.dataset, self.data_dir, self.image_size) != (None, None, None)

    def load_dataset(self, trained: Trained) -> data.Dataset:
        """Load the data set that the options name; left out, what the network was trained on.

        Raises:
            ValueError: nothing says which, or (DatasetError) it cannot be read.
        """
        name, data_dir, image_size = self.dataset, self.data_dir, self.image_size
        if trained.preset and name in (None, "folder"):
            return _imagenet(trained.preset, data_dir, image_size)
        settings = trained.settings
        if name is None and settings:
            name = settings.dataset
        if name is None:
            raise ValueError(
                f"dataset: {trained.path} does not say what it was trained on; give --dataset"
            )
        if settings and settings.dataset == name:
            data_dir = data_dir or settings.data_dir
            if name == "folder" and not image_size and (known := read_description(trained.folder)):
                return data.load(name, data_dir, preprocessing=known.preprocessing)
            image_size = image_size or settings.image_size
        return data.load(name, data_dir, image_size)

    def describe_dataset(self, trained: Trained) -> data.Dataset:
        """Give names and preprocessing; load the data set only if no description holds them.

        Returns:
            The data set, with images in it or without.

        Raises:
            ValueError: as `load_dataset`, or the description cannot be read.
        """
        known = None if self.names_data else describe(trained)
        return known or self.load_dataset(trained)


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
