"""Images made by code, to check an export on where there is no data set."""

import numpy as np
from PIL import Image

from keras_resnext.data.decoding import resize_and_crop
from keras_resnext.data.demo import CLASS_NAMES, load_demo
from keras_resnext.export.verification import IMAGES
from keras_resnext.preprocessing import Preprocessing


def stand_ins(preprocessing: Preprocessing) -> np.ndarray:
    """The demo set's textures and shapes, brought to the size that a network takes.

    Args:
        preprocessing: of the network.

    Returns:
        uint8 (64 or more, image_size, image_size, 3), RGB.
    """
    images = load_demo(1, 1, -(-IMAGES // len(CLASS_NAMES))).test.images
    resized = (resize_and_crop(Image.fromarray(image), preprocessing) for image in images)
    return np.stack([np.asarray(image) for image in resized])
