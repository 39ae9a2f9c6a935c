"""The signatures of an exported network: pixels or files in, scores or names out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_resnext.export.interface import Interface
from keras_resnext.export.tensorflow.decoding import decode

TOP = 5


class Served(tf.Module):
    """A network between raw images and what a client asks for.

    Args:
        network: from normalised images, float32 (batch, height, width, 3), to logits.
        interface: what the client meets.
        labels: a file of class names, copied to the SavedModel's assets.
    """

    def __init__(self, network: Callable, interface: Interface, labels: Path):
        super().__init__()
        self._network = network
        self._preprocessing = interface.preprocessing
        self._class_names = interface.class_names
        self._labels = tf.saved_model.Asset(str(labels))

    def signatures(self) -> dict[str, Callable]:
        """Name the signatures and what each takes."""
        size = self._preprocessing.image_size
        image = (None, size, size, 3)
        taken = {
            "serving_default": (self.scores, tf.TensorSpec(image, tf.float32, "images")),
            "serve_uint8": (self.scores, tf.TensorSpec(image, tf.uint8, "images")),
            "serve_bytes": (self.top, tf.TensorSpec((None,), tf.string, "image_bytes")),
        }
        return {
            name: tf.function(serve, input_signature=[spec])
            for name, (serve, spec) in taken.items()
        }

    def scores(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """From pixels, 0 to 255, to `logits` and `probabilities`, float32 (batch, classes)."""
        images = _checked(images, "images")
        logits = self._network(self._normalised(tf.cast(images, tf.float32)))
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def top(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """From files to the likeliest `classes` by name and their `scores`, (batch, 5)."""
        image_bytes = _checked(image_bytes, "image_bytes")
        images = decode(image_bytes, self._preprocessing)
        probabilities = tf.nn.softmax(self._network(self._normalised(images)))
        names = tf.constant(self._class_names)
        scores, labels = tf.math.top_k(probabilities, min(TOP, len(names)))
        return {"classes": tf.gather(names, labels), "scores": scores}

    def _normalised(self, images):
        """As `keras_resnext.data.normalise`."""
        scale = np.divide(1, self._preprocessing.std, dtype=np.float32)
        return images * scale - np.multiply(self._preprocessing.mean, scale, dtype=np.float32)


def _checked(batch: tf.Tensor, name: str) -> tf.Tensor:
    """Let nothing through that is not a batch of the declared shape.

    A server does not hold requests to the shape that a signature declares, and an array of too few
    dimensions would end its process in a convolution.
    """
    batch = tf.ensure_shape(batch, batch.shape)
    message = f"{name}: expected a batch of one or more, got none"
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(batch)[0] > 0, [message])]):
        return tf.identity(batch)
