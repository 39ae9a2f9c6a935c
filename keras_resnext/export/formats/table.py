"""How each format is made, checked and installed: one table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        module: of this package, whose `write(network, file)` makes it, from int8 formats
            `write(network, file, images)`.
        file: its name in an export.
        backend: of Keras, under which `module` runs; None: the one at hand.
        runtime: that it is checked in, one of those in `runner`.
        packages: that writing and checking need, by the names that Python imports.
        extra: of this package, that installs them.
        int8: whether it computes in 8-bit integers.
    """

    module: str
    file: str
    backend: str | None
    runtime: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    int8: bool = False


_ONNX = ("torch", "onnx", "onnxscript", "onnxruntime")
_LITERT = ("tensorflow", "ai_edge_litert")
_OPENVINO = ("tensorflow", "openvino")
_TORCH = ("torch",)

FORMATS = {
    "keras": Format("keras_file", "model.keras", None, "keras"),
    "onnx": Format("onnx", "model.onnx", "torch", "onnxruntime", _ONNX, "onnx"),
    "onnx-int8": Format("onnx_int8", "model.onnx", "torch", "onnxruntime", _ONNX, "onnx", True),
    "litert": Format("litert", "model.tflite", "tensorflow", "litert", _LITERT, "litert"),
    "litert-int8": Format(
        "litert_int8", "model.tflite", "tensorflow", "litert", _LITERT, "litert", True
    ),
    "openvino": Format("openvino", "model.xml", "tensorflow", "openvino", _OPENVINO, "openvino"),
    "torch": Format("exported_program", "model.pt2", "torch", "torch", _TORCH, "torch"),
}
