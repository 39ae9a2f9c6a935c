"""Inference of ResNeXt-50 32x4d on 224x224 pixels: the exported SavedModel against plain PyTorch.

Each in a process of its own, in turns; `python -m keras_resnext.benchmark.serving NETWORK SIZE
float32` is one of them.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from keras_resnext.benchmark.networks import STAGE_BLOCKS
from keras_resnext.benchmark.turns import Contestant, race, serve, speedup

SIZE = 224
CLASSES = 1000


def compare_serving(batch_sizes: tuple[int, ...], rounds: int, calls: int) -> str:
    """Infer in turns; a table of medians, and of ratios to eager PyTorch taken round by round.

    Args:
        batch_sizes: images a call; one race each.
        rounds: turns of each contestant.
        calls: calls a turn.
    """
    lines = [
        "| inference | batch | ms | images/s | speed, plain PyTorch = 1 |",
        "|---|---|---|---|---|",
    ]
    for batch_size in batch_sizes:
        contestants = [
            Contestant(network, backend, batch_size, module=__name__)
            for network, backend in BACKENDS.items()
        ]
        race(contestants, rounds, calls, "float32")
        for contestant in contestants:
            seconds = median(contestant.step_seconds)
            lines.append(
                f"| {contestant.network} | {batch_size} | {1000 * seconds:.1f} "
                f"| {batch_size / seconds:.1f} | {speedup(contestants[0], contestant)} |"
            )
    return "\n".join(lines)


def exported(batch_size: int, precision: str) -> Callable[[int], float]:
    """The SavedModel in a session, which is TensorFlow Serving's way, from raw pixels to logits."""
    import tensorflow as tf

    from keras_resnext.export.interface import Interface
    from keras_resnext.export.tensorflow.writer import write
    from keras_resnext.models import ResNeXt50
    from keras_resnext.preprocessing import fitted

    network = ResNeXt50(
        stem="imagenet",
        input_shape=(SIZE, SIZE, 3),
        classes=CLASSES,
        classifier_activation=None,
    )
    names = tuple(map(str, range(CLASSES)))
    interface = Interface("resnext50", fitted(SIZE), names)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, SIZE, SIZE, 3), np.uint8)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "1"
        write(network, interface, images[0], folder)
        with session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    signature = loaded.signature_def["serving_default"]
    infer = session.make_callable(
        signature.outputs["logits"].name, [signature.inputs["images"].name]
    )
    pixels = images.astype(np.float32)
    return _timed(lambda: infer(pixels))


def pytorch_network():
    """The network of torchvision's `resnext50_32x4d`, in plain PyTorch."""
    from torch import nn

    from keras_resnext.benchmark.torch_network import ResNeXt

    model = ResNeXt(STAGE_BLOCKS, classes=CLASSES)
    model.stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    )
    return model


def plain_pytorch(
    batch_size: int, precision: str, compiled: bool = False
) -> Callable[[int], float]:
    """Eager PyTorch in its faster memory format, channels_last, from normalised pixels."""
    import torch

    model = pytorch_network().eval().to(memory_format=torch.channels_last)
    infer = torch.compile(model) if compiled else model
    images = torch.randn(batch_size, 3, SIZE, SIZE).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> None:
        infer(images)

    return _timed(call)


def compiled_pytorch(batch_size: int, precision: str) -> Callable[[int], float]:
    """The same by `torch.compile`."""
    return plain_pytorch(batch_size, precision, compiled=True)


SERVED = {
    "plain PyTorch": plain_pytorch,
    "compiled PyTorch": compiled_pytorch,
    "SavedModel": exported,
}
BACKENDS = {"plain PyTorch": "torch", "compiled PyTorch": "torch", "SavedModel": "tensorflow"}


def _timed(call: Callable[[], object]) -> Callable[[int], float]:
    def infer(calls: int) -> float:
        call()  # after the others' turn, caches are cold
        start = perf_counter()
        for _ in range(calls):
            call()
        return perf_counter() - start

    return infer


if __name__ == "__main__":
    serve(SERVED, *sys.argv[1:])
