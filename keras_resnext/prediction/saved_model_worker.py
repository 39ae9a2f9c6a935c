"""What the process does that runs a SavedModel. Its errors are such as need no TensorFlow."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SIGNATURE, INPUT, OUTPUT = "serve_uint8", "images", "probabilities"
# As `saved_model_cli scan`, of tensorflow/python/tools/saved_model_cli.py.
WITH_FILES = {"PrintV2", "ReadFile", "WriteFile"}


def keep_off_the_gpu() -> None:
    """The other process may hold all of it."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def shape(folder: str) -> tuple[int, int, int]:
    """Tell height and width of an image, and the number of classes.

    Raises:
        ValueError: it cannot be loaded, or is not of `scripts/export.py`.
    """
    signature = _loaded(folder)
    _, height, width, _ = signature.structured_input_signature[1][INPUT].shape
    return height, width, signature.structured_outputs[OUTPUT].shape[-1]


def probabilities(folder: str, images: np.ndarray) -> np.ndarray:
    """Run it: uint8 (batch, height, width, 3) to float32 (batch, classes)."""
    try:
        return _loaded(folder)(**{INPUT: images})[OUTPUT].numpy()
    except Exception as error:
        raise RuntimeError(f"running {folder} failed: {_first_line(error)}") from None


@cache
def _loaded(folder: str) -> Any:
    import tensorflow as tf

    try:
        _check_operations(folder)
        model = tf.saved_model.load(folder)
    except Exception as error:
        raise ValueError(f"source: {folder} cannot be loaded: {_first_line(error)}") from None
    signature = model.signatures.get(SIGNATURE)
    if (
        signature is None
        or INPUT not in signature.structured_input_signature[1]
        or OUTPUT not in signature.structured_outputs
    ):
        raise ValueError(
            f"source: expected a signature {SIGNATURE} in {folder}, from {INPUT} to {OUTPUT}, as "
            "scripts/export.py writes it"
        )
    signature.model = model  # whose variables die with it
    return signature


def _check_operations(folder: str) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
    for graph in (meta_graph.graph_def for meta_graph in saved.meta_graphs):
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        if found := WITH_FILES & {node.op for node in nodes}:
            raise ValueError(f"it would read or write files by {', '.join(sorted(found))}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
