"""Run an exported file in its own runtime: `python -P runtimes.py FILE trusted|checked`.

Started as a file, with this package out of reach and, but for `.keras` files, Keras too: nothing
but the runtime may be needed. Answers requests from standard input on standard output until that
ends, as it does when whoever started it is killed. A message is its length in 8 bytes and an .npz:
pixels, uint8 (N, height, width, 3), by signature; outputs by SIGNATURE/OUTPUT, or an `error`.

A file that is "checked" comes from anywhere: what in it could do more than compute is refused.
"""

import ctypes
import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

DEFAULT = "serving_default"
Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]

OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax Assert AvgPool BatchMatMulV2 BiasAdd BroadcastTo Cast
    Ceil ClipByValue ConcatV2 Const Conv2D DepthwiseConv2dNative Einsum Elu EnsureShape Equal
    Erf Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherV2 Greater
    GreaterEqual Identity IdentityN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NoOp NotEqual Pack
    Pad PadV2 PartitionedCall Placeholder Pow Prod Range RealDiv Relu Relu6 Reshape
    ResizeBicubic ResizeBilinear ResizeNearestNeighbor Round Rsqrt ScaleAndTranslate Select
    SelectV2 Selu Shape Sigmoid Slice Softmax Softplus Split SplitV Sqrt Square
    SquaredDifference Squeeze StatefulPartitionedCall StopGradient StridedSlice Sub Sum Tanh
    Tile TopKV2 Transpose Unpack ZerosLike
    """.split()  # noqa: SIM905 - lines of words are easier to read
)
"""TensorFlow's operations that predictions may use: they compute, and touch nothing else."""


def saved_model(file: Path, trusted: bool) -> Run:
    """TensorFlow, without XLA, as TensorFlow Serving runs it."""
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    disable_xla()
    tf.config.set_visible_devices([], "GPU")
    (meta_graph, *_) = SavedModel.FromString(file.read_bytes()).meta_graphs
    graph, signatures = meta_graph.graph_def, meta_graph.signature_def
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        if trusted:
            if names := needs_xla(graph):
                raise ValueError(f"the graph needs XLA: {', '.join(names[:5])}")
            tf.compat.v1.saved_model.load(session, ["serve"], str(file.parent))
        else:
            # Not loaded: that would restore variables and read assets. What the answer depends on
            # is imported, and it has to be on the list.
            tf.import_graph_def(checked_graph(graph, signatures[DEFAULT]), name="")

    def run(request):
        answers: dict[str, Any] = {}
        for name, pixels in request.items():
            signature = signatures[name]
            ((_, spec),) = signature.inputs.items()
            if spec.dtype == tf.string.as_datatype_enum:
                fed = [tf.io.encode_png(image).numpy() for image in pixels]
            else:
                fed = pixels.astype(tf.DType(spec.dtype).as_numpy_dtype)
            outputs = {key: output.name for key, output in signature.outputs.items()}
            found = session.run(outputs, {spec.name: fed})
            answers |= {f"{name}/{key}": value for key, value in found.items()}
        return answers

    return run


def disable_xla() -> None:
    """Switch XLA off for this process, as TensorFlow Serving's `main` does.

    TensorFlow has no Python name for it, and no such library on Windows and macOS; `needs_xla`
    looks for the same trouble everywhere.
    """
    import tensorflow as tf

    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if library.exists():
        ctypes.CDLL(str(library))._ZN10tensorflow21DisableXlaCompilationEv()


def nodes(graph: Any) -> list[Any]:
    """Return all nodes of a GraphDef, those in its functions too."""
    return [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]


def needs_xla(graph: Any) -> list[str]:
    """Return names of a GraphDef's nodes and functions that nothing but XLA computes."""
    marked = [x for x in (*nodes(graph), *graph.library.function) if x.attr["_XlaMustCompile"].b]
    names = [getattr(x, "name", "") or x.signature.name for x in marked]
    return names + [node.name for node in nodes(graph) if node.op.startswith("Xla")]


def checked_graph(graph: Any, signature: Any) -> Any:
    """Return the part of a GraphDef that the outputs of a signature depend on.

    Raises:
        ValueError: an operation in it is not one of `OPERATIONS`.
    """
    import tensorflow as tf

    outputs = [output.name.partition(":")[0] for output in signature.outputs.values()]
    part = tf.compat.v1.graph_util.extract_sub_graph(graph, outputs)
    functions = {function.signature.name: function for function in part.library.function}
    called: dict[str, Any] = {}
    rest = list(part.node)
    while rest:
        node = rest.pop()
        attributes = node.attr.values()
        names = {node.op, *(value.func.name for value in attributes)}
        names |= {function.name for value in attributes for function in value.list.func}
        for name in (names & functions.keys()) - called.keys():
            called[name] = functions[name]
            rest += functions[name].node_def
    part.library.ClearField("function")
    part.library.function.extend(called.values())
    if strange := {node.op for node in nodes(part)} - OPERATIONS - called.keys():
        raise ValueError(f"it has operations that no export of ours has: {sorted(strange)}")
    return part


def onnxruntime(file: Path, trusted: bool) -> Run:
    """ONNX Runtime."""
    import onnxruntime

    if not trusted:
        import onnx
        from onnx.external_data_helper import _get_all_tensors, uses_external_data

        tensors = _get_all_tensors(onnx.load(file, load_external_data=False))
        if any(map(uses_external_data, tensors)):
            raise ValueError("it wants to read other files")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return _one(lambda images: session.run(["logits"], {"images": images})[0])


def litert(file: Path, trusted: bool) -> Run:
    """LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(str(file)).get_signature_runner()
    return _one(lambda images: signature(images=images)["logits"])


def openvino(file: Path, trusted: bool) -> Run:
    """OpenVINO, in float32: by default it rounds to bfloat16 where the processor can."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would report its use
    import openvino

    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return _one(lambda images: compiled({"images": images})["logits"])


def keras(file: Path, trusted: bool) -> Run:
    """Keras under the backend that KERAS_BACKEND names."""
    import keras

    network = keras.saving.load_model(file, compile=False, safe_mode=True)
    return _one(lambda images: network.predict(images, verbose=0))


def torch(file: Path, trusted: bool) -> Run:
    """PyTorch."""
    import torch

    module = torch.export.load(file).module()
    return _one(lambda images: module(torch.from_numpy(images)).detach().numpy())


def _one(compute: Callable[[np.ndarray], Any]) -> Run:
    """Of a format with one signature, that takes float32 and puts out logits."""
    return lambda request: {f"{DEFAULT}/logits": compute(np.asarray(request[DEFAULT], np.float32))}


RUNTIMES: dict[str, Callable[[Path, bool], Run]] = {
    "saved_model.pb": saved_model,
    "model.onnx": onnxruntime,
    "model.tflite": litert,
    "model.xml": openvino,
    "model.keras": keras,
    "model.pt2": torch,
}


def write_message(stream: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write a message and flush."""
    memory = io.BytesIO()
    plain: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype == object:  # strings by TensorFlow, which would be pickled
            plain[name] = array.astype(bytes)
    np.savez(memory, **plain)
    stream.write(len(memory.getbuffer()).to_bytes(8, "little"))
    stream.write(memory.getbuffer())
    stream.flush()


def read_message(stream: IO[bytes]) -> dict[str, np.ndarray] | None:
    """Read a message; None at the end of the stream."""
    length = int.from_bytes(stream.read(8), "little")
    if not length:
        return None
    with np.load(io.BytesIO(stream.read(length))) as arrays:
        return dict(arrays)


def _serve(file: Path, trusted: bool) -> None:
    # What libraries print must not get between the messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    run: Run | None = None
    while (request := read_message(sys.stdin.buffer)) is not None:
        try:
            run = run or RUNTIMES[file.name](file, trusted)
            write_message(answers, run(request) if request else {})
        except ImportError as error:
            hint = f'{error.name} is not installed. Type: pip install "keras-resnext[export]"'
            write_message(answers, {"missing": np.array(hint)})
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            write_message(answers, {"error": np.array(first)})


if __name__ == "__main__":
    for package in ("keras_resnext", "keras")[: 1 if sys.argv[1].endswith(".keras") else 2]:
        sys.modules[package] = None  # type: ignore[assignment]
    _serve(Path(sys.argv[1]), sys.argv[2] == "trusted")
