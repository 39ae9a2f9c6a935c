"""Formats of an export: one table, and the writers, each in a process of its own.

`python -m keras_resnext.export.formats FORMAT FOLDER` writes to FOLDER, under the backend that the
table names. Beside FOLDER lie network.keras, from pixels to logits, of Keras' own layers alone;
images.npy, pixels to calibrate by; labels.txt and preprocessing.json.
"""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_resnext.export.layout import channels_first


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        write: `write(network, folder / file, images)`, under `backend`; images to calibrate by,
            float32 (N, height, width, 3).
        file: its name in an export; `inference.runtimes.RUNTIMES` says what runs it.
        backend: of Keras, that writes it; None: the active one.
        packages: that writing and verifying need, by the names that Python imports.
        extra: of this package, that installs them.
        int8: whether it computes in 8-bit integers.
    """

    write: Callable[[keras.Model, Path, np.ndarray], None]
    file: str
    backend: str | None
    packages: tuple[str, ...]
    extra: str
    int8: bool = False


def write_saved_model(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write a SavedModel: see `saved_model`."""
    from keras_resnext.export.saved_model import write

    write(network, file.parent, images[0])


def write_onnx(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write ONNX with the input `images` and the output `logits`.

    `network.export(format="onnx")` goes by TorchScript for a batch of any size, which PyTorch gives
    up, and numbers the output; under TensorFlow and JAX it needs converters that ONNX Runtime or
    Keras' versions do not get along with.
    """
    import torch

    module, arguments, axes = _torch_module(network)
    program = torch.onnx.export(
        module,
        arguments,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=axes,
        dynamo=True,
    )
    assert program is not None  # it is, where no file is named
    program.save(file)


def write_onnx_int8(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write ONNX that computes in int8, weights scaled per channel.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, which
    advises the QDQ format, to simplify the graph first, and weights of 7 bits for processors whose
    products of unsigned and signed integers saturate. Unsigned activations are the fast ones.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Calibration(CalibrationDataReader):
        feeds = iter([{"images": image[None]} for image in images])

        def get_next(self):
            return next(self.feeds, None)

    plain, simple = (file.parents[1] / f"{name}.onnx" for name in ("plain", "simple"))
    write_onnx(network, plain, images)
    quant_pre_process(plain, simple)
    quantize_static(
        simple,
        file,
        Calibration(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        per_channel=True,
        reduce_range=True,
    )


def write_torch(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write an ExportedProgram; `network.export(format="torch")` stores each weight twice."""
    import torch

    module, arguments, axes = _torch_module(network)
    torch.export.save(torch.export.export(module, arguments, dynamic_shapes=axes), file)


def _torch_module(network: keras.Model) -> tuple[Any, tuple, tuple]:
    """A network as PyTorch's exporters want it: module, example arguments, axes of any size.

    A Keras model is a module too, but hides its tensors behind variables: the exporters would store
    them all again, as constants. Two images, since PyTorch takes an axis of length 1 for a constant
    (pytorch issue 176349).
    """
    import torch

    network = channels_first(network)

    def parameters(variables):
        return torch.nn.ParameterList(variable.value.detach() for variable in variables)

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.call = network.stateless_call
            self.trained = parameters(network.trainable_variables)
            self.others = parameters(network.non_trainable_variables)
            self.eval()

        def forward(self, images):
            outputs, _ = self.call(list(self.trained), list(self.others), images, training=False)
            return outputs

    batch = torch.export.Dim("batch", min=1)
    return Module(), (torch.zeros((2, *network.input_shape[1:])),), ({0: batch},)


def write_litert(network: keras.Model, file: Path, images: np.ndarray, **options: Any) -> None:
    """Write LiteRT with a signature from `images` to `logits`."""
    _tensorflow(network).export(file, format="litert", verbose=False, **options)


def write_litert_int8(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write LiteRT that takes and gives float32 and computes in int8.

    Source: https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant
    """
    import tensorflow as tf

    write_litert(
        network,
        file,
        images,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([image[None]] for image in images),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    )


def write_openvino(network: keras.Model, file: Path, images: np.ndarray) -> None:
    """Write OpenVINO's intermediate representation; the weights go to a .bin beside it."""
    # Being imported is enough for OpenVINO to report its use to Intel, unless this is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    _tensorflow(network).export(str(file), format="openvino", verbose=False)


def _tensorflow(network: keras.Model) -> keras.Model:
    from keras_resnext.export.saved_model import without_xla

    plain = without_xla(network)
    return keras.Model(plain.input, {"logits": plain.output})


_ONNX = ("torch", "onnx", "onnxscript", "onnxruntime")
_LITERT = ("tensorflow", "ai_edge_litert")

FORMATS: dict[str, Format] = {
    "saved_model": Format(
        write_saved_model, "saved_model.pb", "tensorflow", ("tensorflow",), "tensorflow"
    ),
    "keras": Format(lambda network, file, _: network.save(file), "model.keras", None, (), ""),
    "onnx": Format(write_onnx, "model.onnx", "torch", _ONNX, "export"),
    "onnx-int8": Format(write_onnx_int8, "model.onnx", "torch", _ONNX, "export", True),
    "litert": Format(write_litert, "model.tflite", "tensorflow", _LITERT, "export"),
    "litert-int8": Format(write_litert_int8, "model.tflite", "tensorflow", _LITERT, "export", True),
    "openvino": Format(
        write_openvino, "model.xml", "tensorflow", ("tensorflow", "openvino"), "export"
    ),
    "torch": Format(write_torch, "model.pt2", "torch", ("torch",), "torch"),
}


def _main(name: str, folder: Path) -> None:
    keras.config.set_image_data_format("channels_last")
    from keras_resnext.export.fold import fold_batch_norm

    network = keras.saving.load_model(folder.parent / "network.keras", compile=False)
    images = np.load(folder.parent / "images.npy").astype(np.float32)
    folder.mkdir()
    FORMATS[name].write(fold_batch_norm(network), folder / FORMATS[name].file, images)


if __name__ == "__main__":
    # The pipe closes when the process that started this one is gone, killed too.
    threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
    _main(sys.argv[1], Path(sys.argv[2]))
