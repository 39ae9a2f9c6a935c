"""The data set that a trained network is measured on."""

from pathlib import Path

from keras_resnext import data
from keras_resnext.training.trained import Trained


def dataset_of(
    trained: Trained, name: str | None, data_dir: Path | None, image_size: int | None
) -> data.Dataset:
    """Load what the user names; left out, what the network was trained on.

    Args:
        trained: the network.
        name: of the data set.
        data_dir: where it lies.
        image_size: that its images are brought to, in pixels.

    Raises:
        ValueError: nothing says which, or (DatasetError) it cannot be read.
    """
    settings = trained.settings
    name = name or (settings.dataset if settings else None)
    if not name:
        raise ValueError(
            f"dataset: {trained.path} does not say what it was trained on; give --dataset"
        )
    if settings and settings.dataset == name:
        data_dir = data_dir or settings.data_dir
        image_size = image_size or settings.image_size
    return data.load(name, data_dir, image_size)
