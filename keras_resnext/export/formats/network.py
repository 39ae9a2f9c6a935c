"""The trained network as other formats hold it: from pixels to logits."""

import keras

from keras_resnext.export.folding import fold_batch_norm
from keras_resnext.preprocessing import Preprocessing


def from_pixels(network: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Fold the batch normalisations of a network, and put normalisation of pixels before it.

    `keras.layers.Rescaling` would do it too, but goes by the image data format that whoever loads
    the file has configured.

    Args:
        network: from normalised images to logits, as `inference_network` gives it.
        preprocessing: that it was trained with; of it the normalisation only.

    Returns:
        A network from `images`, float32 (batch, height, width, 3), pixels from 0 to 255, to logits,
        float32 (batch, classes).
    """
    normalisation = keras.layers.Normalization(
        mean=preprocessing.mean,
        variance=[std**2 for std in preprocessing.std],
        dtype="float32",
    )
    images = keras.Input(network.input_shape[1:], name="images", dtype="float32")
    outputs = fold_batch_norm(network)(normalisation(images))
    return keras.Model(images, outputs, name=network.name)
