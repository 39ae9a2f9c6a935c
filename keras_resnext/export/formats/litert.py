"""LiteRT, TensorFlow Lite's successor."""

from pathlib import Path
from typing import Any

import keras


def write(network: keras.Model, file: Path, **options: Any) -> None:
    """Write LiteRT with a signature from `images` to `logits`.

    Args:
        network: from `from_pixels`, with Keras on TensorFlow.
        file: to write, `NAME.tflite`.
        **options: of TensorFlow's converter.
    """
    named = keras.Model(network.input, {"logits": network.output})
    named.export(file, format="litert", verbose=False, **options)
