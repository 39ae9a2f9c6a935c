"""Run an export in its own runtime: `python -P runner.py RUNTIME FILE IMAGES ANSWERS`.

Run as a file, with this package out of reach and, but for `.keras` files, Keras too: nothing but
the runtime may be needed. IMAGES is uint8 (N, height, width, 3); ANSWERS becomes float32 logits,
(N, classes).
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 64

Compute = Callable[[np.ndarray], Any]


def keras(file: str) -> Compute:
    """Keras under the backend that KERAS_BACKEND names."""
    import keras

    network = keras.saving.load_model(file, compile=False)
    return lambda images: network.predict(images, verbose=0)


def onnxruntime(file: str) -> Compute:
    """ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def litert(file: str) -> Compute:
    """LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(file).get_signature_runner()
    return lambda images: signature(images=images)["logits"]


def openvino(file: str) -> Compute:
    """OpenVINO, in float32: on its own it rounds to bfloat16 where the processor can."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # else it reports its use
    import openvino

    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(file, "CPU", precise)
    return lambda images: compiled({"images": images})["logits"]


def torch(file: str) -> Compute:
    """PyTorch."""
    import torch

    module = torch.export.load(file).module()
    return lambda images: module(torch.from_numpy(images)).detach().numpy()


RUNTIMES = {run.__name__: run for run in (keras, onnxruntime, litert, openvino, torch)}


def logits(compute: Compute, images: np.ndarray) -> np.ndarray:
    """Compute one image first and then the rest: a batch may have any size."""
    batches = [images[:1], *(images[i : i + BATCH] for i in range(1, len(images), BATCH))]
    return np.concatenate([compute(batch.astype(np.float32)) for batch in batches])


if __name__ == "__main__":
    runtime, exported, images_file, answers_file = sys.argv[1:]
    for package in {"keras_resnext", "keras"} - {runtime}:
        sys.modules[package] = None  # type: ignore[assignment]
    answers = logits(RUNTIMES[runtime](exported), np.load(images_file, mmap_mode="r"))
    np.save(answers_file, answers)
