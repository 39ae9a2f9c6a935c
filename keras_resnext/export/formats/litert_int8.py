"""LiteRT in 8-bit integers, by TensorFlow's converter."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnext.export.formats import litert


def write(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write LiteRT that takes and gives float32 and computes in int8.

    Args:
        network: from `from_pixels`, with Keras on TensorFlow.
        file: to write, `NAME.tflite`.
        images: to find the range of every activation by, float32 (N, height, width, 3).

    Source: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant
    """
    litert.write(
        network,
        file,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([image[None]] for image in images),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    )
