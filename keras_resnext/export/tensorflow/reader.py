"""Run a SavedModel as TensorFlow Serving does: `python -P reader.py FOLDER IMAGES FILES ANSWERS`.

Run as a file, so that this package is not loaded, and with Keras out of reach: nothing but
TensorFlow may be needed. ANSWERS becomes an .npz of each signature's outputs, named
`SIGNATURE/OUTPUT`.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.modules["keras"] = None  # type: ignore[assignment]  # TensorFlow would import it

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


def disable_xla() -> None:
    """Switch XLA off for this process, as TensorFlow Serving's `main` does.

    TensorFlow has no Python name for it, and no such library on Windows and macOS; `needs_xla`
    looks for the same trouble everywhere.
    """
    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if library.exists():
        ctypes.CDLL(str(library))._ZN10tensorflow21DisableXlaCompilationEv()


def needs_xla(folder: str) -> list[str]:
    """Names of a SavedModel's nodes and functions that nothing but XLA computes."""
    saved = SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
    found = []
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        found += [node.name for node in nodes if _asks_for_xla(node) or node.op.startswith("Xla")]
        found += [f.signature.name for f in graph.library.function if _asks_for_xla(f)]
    return found


def _asks_for_xla(definition) -> bool:
    return "_XlaMustCompile" in definition.attr and definition.attr["_XlaMustCompile"].b


def answers(folder: str, images: np.ndarray, files: np.ndarray) -> dict[str, np.ndarray]:
    """Run every signature in a session, which is TensorFlow Serving's way to load.

    Args:
        folder: of the SavedModel.
        images: uint8 (batch, height, width, 3), for the signatures that take arrays.
        files: the same, for those that take files, of any size that comes out as that.

    Returns:
        What each puts out, by `SIGNATURE/OUTPUT`.
    """
    inputs: dict[str, dict] = {
        "serving_default": {"images": images.astype(np.float32)},
        "serve_uint8": {"images": images},
        "serve_bytes": {"image_bytes": [tf.io.encode_png(image).numpy() for image in files]},
    }
    found: dict[str, np.ndarray] = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
        for name, values in inputs.items():
            signature = signatures[name]
            fed = {signature.inputs[key].name: value for key, value in values.items()}
            for key, output in signature.outputs.items():
                found[f"{name}/{key}"] = session.run(output.name, fed)
    return found


if __name__ == "__main__":
    disable_xla()
    saved_model, images_file, files_file, answers_file = sys.argv[1:]
    if names := needs_xla(saved_model):
        sys.exit(f"error: the graph needs XLA: {', '.join(names[:5])}")
    arrays = answers(saved_model, np.load(images_file), np.load(files_file))
    plain = {key: v.astype(bytes) if v.dtype == object else v for key, v in arrays.items()}
    np.savez(answers_file, **plain)  # type: ignore[arg-type]
