"""A few images of a run's test split, to try a prediction on."""

import re
from pathlib import Path

import numpy as np

from keras_resnext.data import Dataset
from keras_resnext.files import written_whole

MOST = 12


def write_examples(folder: Path, dataset: Dataset) -> None:
    """Write `examples/CLASS.png`, the first test image of each of the first `MOST` classes.

    Args:
        folder: of the run.
        dataset: gives images and class names.

    Raises:
        ImportError: Pillow is not installed.
        OSError: they cannot be written.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'writing images needs pillow. Type: pip install "keras-resnext[scripts]"'
        ) from error
    (folder / "examples").mkdir(exist_ok=True)
    for label, name in enumerate(dataset.class_names[:MOST]):
        found = np.flatnonzero(dataset.test.labels == label)
        if len(found):
            plain = re.sub(r"[^\w-]+", "_", name)
            path = folder / "examples" / f"{plain}.png"
            with written_whole(path) as temporary:
                Image.fromarray(dataset.test.images[found[0]]).save(temporary)
