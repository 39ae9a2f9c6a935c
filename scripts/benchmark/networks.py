"""What takes turns: networks of ours, plain Keras' and plain PyTorch's.

Each builder returns a function that takes one step and then as many more as asked, and returns the
seconds of those more: what happens once is not a step's time. Training steps are those of the CIFAR
ResNeXt-50 32x4d by SGD with momentum; inference is that of ResNeXt-50 32x4d on 224x224 pixels.
`python networks.py NETWORK BATCH_SIZE PRECISION` reads numbers of steps from standard input.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
from turns import MARK

STAGE_BLOCKS = (3, 4, 6, 3)
SGD = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
SIZE = 224
CLASSES = 1000
Steps = Callable[[int], float]


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, 32, 32, 3) float32 and labels (size,) int32; what they show does not matter."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((size, 32, 32, 3), np.float32)
    return images, rng.integers(0, 100, size, np.int32)


def keras_resnext(batch_size: int, precision: str, plain: bool = False) -> Steps:
    """`model.fit` on this package's model; plain: on Keras' own convolution and normalization."""
    import keras

    from keras_resnext import ResNeXt50, blocks

    if plain:
        blocks.GroupedConv2D = keras.layers.Conv2D  # type: ignore[misc]
        blocks.BatchNorm = keras.layers.BatchNormalization  # type: ignore[misc]
    keras.config.set_dtype_policy(precision)
    model = ResNeXt50(classifier_activation=None)
    model.compile(
        keras.optimizers.SGD(**SGD), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    images, labels = batch(batch_size)

    def train(steps: int) -> float:
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: ends.append(perf_counter())
        )
        model.fit(
            np.tile(images, (steps + 1, 1, 1, 1)),
            np.tile(labels, steps + 1),
            batch_size=batch_size,
            shuffle=False,
            callbacks=[clock],
            verbose=0,
        )
        return ends[-1] - ends[0]

    return train


def plain_pytorch(batch_size: int, precision: str) -> Steps:
    """Eager PyTorch in its faster memory format, channels_last; autocast for half precision."""
    import torch
    from torch_network import ResNeXt

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last
    model = ResNeXt(STAGE_BLOCKS).to(device)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(), SGD["learning_rate"], SGD["momentum"], nesterov=True
    )
    images, labels = (torch.from_numpy(array).to(device) for array in batch(batch_size))
    images, labels = images.permute(0, 3, 1, 2).contiguous(memory_format=layout), labels.long()
    half = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, half or torch.bfloat16, enabled=half is not None):
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return _timed(step, torch.cuda.synchronize if device == "cuda" else lambda: None)


def saved_model(batch_size: int, precision: str) -> Steps:
    """The export in a session, which is TensorFlow Serving's way, from raw pixels to logits."""
    import tensorflow as tf

    from keras_resnext import ResNeXt50, export
    from keras_resnext.preprocessing import whole_image

    network = ResNeXt50(
        stem="imagenet",
        input_shape=(SIZE, SIZE, 3),
        classes=CLASSES,
        classifier_activation=None,
    )
    session = tf.compat.v1.Session(graph=tf.Graph())
    with tempfile.TemporaryDirectory() as scratch:
        folder = export(network, scratch, preprocessing=whole_image(SIZE))
        with session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    signature = loaded.signature_def["serving_default"]
    infer = session.make_callable(
        signature.outputs["logits"].name, [signature.inputs["images"].name]
    )
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch_size, SIZE, SIZE, 3)).astype(np.float32)
    return _timed(lambda: infer(pixels))


def pytorch_inference(batch_size: int, precision: str, compiled: bool = False) -> Steps:
    """PyTorch in its faster memory format, channels_last, from normalized pixels."""
    import torch
    from torch_network import imagenet_network

    model = imagenet_network(STAGE_BLOCKS, CLASSES).eval().to(memory_format=torch.channels_last)
    infer = torch.compile(model) if compiled else model
    images = torch.randn(batch_size, 3, SIZE, SIZE).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> None:
        infer(images)

    return _timed(call)


def _timed(step: Callable[[], object], finish: Callable[[], object] = lambda: None) -> Steps:
    def run(steps: int) -> float:
        step()  # after the others' turn, caches are cold
        finish()
        start = perf_counter()
        for _ in range(steps):
            step()
        finish()
        return perf_counter() - start

    return run


NETWORKS: dict[str, Callable[[int, str], Steps]] = {
    "keras_resnext": keras_resnext,
    "plain Keras": partial(keras_resnext, plain=True),
    "plain PyTorch": plain_pytorch,
    "SavedModel": saved_model,
    "eager PyTorch": pytorch_inference,
    "compiled PyTorch": partial(pytorch_inference, compiled=True),
}

if __name__ == "__main__":
    _, name, size, policy = sys.argv
    take_steps = NETWORKS[name](int(size), policy)
    for line in sys.stdin:
        begin = perf_counter()
        alone = take_steps(int(line))
        print(f"{MARK}{json.dumps([perf_counter() - begin, alone])}", flush=True)
