"""ONNX in 8-bit integers, by ONNX Runtime's quantisation."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from keras_resnext.export.formats import onnx


class _Calibration(CalibrationDataReader):
    def __init__(self, images):
        self._feeds = ({"images": image[None]} for image in images)

    def get_next(self):
        return next(self._feeds, None)


def write(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write ONNX that computes in int8, weights scaled by channel.

    Args:
        network: from `from_pixels`, with Keras on PyTorch.
        file: to write, `NAME.onnx`.
        images: to find the range of every activation by, float32 (N, height, width, 3).

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, which
    advises signed integers in the QDQ format, and to simplify the graph first.
    """
    with tempfile.TemporaryDirectory() as scratch:
        written, simple = Path(scratch) / "float32.onnx", Path(scratch) / "simple.onnx"
        onnx.write(network, written)
        quant_pre_process(written, simple)
        quantize_static(
            simple, file, _Calibration(images), quant_format=QuantFormat.QDQ, per_channel=True
        )
