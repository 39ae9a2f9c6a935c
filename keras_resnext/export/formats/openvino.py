"""OpenVINO's intermediate representation."""

import sys
from pathlib import Path

import keras

# To be imported is enough for OpenVINO to report its use to Intel, unless this package is missing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def write(network: keras.Model, file: Path) -> None:
    """Write OpenVINO with the input `images` and the output `logits`.

    Args:
        network: from `from_pixels`, with Keras on TensorFlow.
        file: to write, `NAME.xml`; the weights go to `NAME.bin` beside it.
    """
    named = keras.Model(network.input, {"logits": network.output})
    named.export(str(file), format="openvino", verbose=False)
