"""One training step of the CIFAR ResNeXt-50 32x4d: ours, plain Keras' and plain PyTorch's.

Each builder returns `train(steps)`, which takes one step of SGD with momentum on one batch and then
that many more, and returns the seconds of those more: what `fit` does once is not a step's time.
"""

from collections.abc import Callable
from time import perf_counter

import numpy as np

STAGE_BLOCKS = (3, 4, 6, 3)
SGD = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (size, 32, 32, 3) float32 and labels (size,) int32; what they show does not matter."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((size, 32, 32, 3), np.float32)
    return images, rng.integers(0, 100, size, np.int32)


def keras_resnext(batch_size: int, precision: str) -> Callable[[int], float]:
    """`model.fit` on this package's model."""
    import keras

    from keras_resnext.models import ResNeXt50

    keras.config.set_dtype_policy(precision)
    model = ResNeXt50(classifier_activation=None)
    model.compile(
        keras.optimizers.SGD(**SGD), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    images, labels = batch(batch_size)

    def train(steps: int) -> float:
        count = steps + 1
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: ends.append(perf_counter())
        )
        model.fit(
            np.tile(images, (count, 1, 1, 1)),
            np.tile(labels, count),
            batch_size=batch_size,
            shuffle=False,
            callbacks=[clock],
            verbose=0,
        )
        return ends[-1] - ends[0]

    return train


def plain_keras(batch_size: int, precision: str) -> Callable[[int], float]:
    """The same with Keras' own convolution and batch normalisation in the place of ours."""
    import keras

    from keras_resnext import blocks

    blocks.GroupedConv2D = keras.layers.Conv2D  # type: ignore[misc]
    blocks.BatchNorm = keras.layers.BatchNormalization  # type: ignore[misc]
    return keras_resnext(batch_size, precision)


def plain_pytorch(batch_size: int, precision: str) -> Callable[[int], float]:
    """Eager PyTorch in its faster memory format, channels_last; autocast for half precision."""
    import torch

    from keras_resnext.benchmark.torch_network import ResNeXt

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

    def train(steps: int) -> float:
        ends = []
        for count in (1, steps):
            for _ in range(count):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            ends.append(perf_counter())
        return ends[-1] - ends[0]

    return train


NETWORKS = {
    "keras_resnext": keras_resnext,
    "plain Keras": plain_keras,
    "plain PyTorch": plain_pytorch,
}
