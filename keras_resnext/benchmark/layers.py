"""Each lowering of single convolutions, beside Keras' own layer and plain PyTorch's."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np


@dataclass(frozen=True)
class Shape:
    """One convolution of the CIFAR ResNeXt-50; `size` is height and width of its input."""

    name: str
    size: int
    in_channels: int
    out_channels: int
    groups: int = 32
    kernel: int = 3
    stride: int = 1


SHAPES = (
    Shape("stage 1, 3x3", 32, 128, 128),
    Shape("stage 2, 3x3/2", 32, 256, 256, stride=2),
    Shape("stage 2, 3x3", 16, 256, 256),
    Shape("stage 3, 3x3", 8, 512, 512),
    Shape("stage 4, 3x3", 4, 1024, 1024),
    Shape("stage 1, 1x1", 32, 256, 128, groups=1, kernel=1),
    Shape("stage 2, 1x1", 16, 512, 256, groups=1, kernel=1),
    Shape("stage 3, 1x1", 8, 1024, 512, groups=1, kernel=1),
    Shape("stage 1, grouped 1x1", 32, 256, 128, kernel=1),
    Shape("stage 4, grouped 1x1", 4, 2048, 1024, kernel=1),
)
HEADER = (
    "| convolution | way | forward ms | forward + gradients ms | compile s |\n|---|---|---|---|---|"
)


def compare_layers(backends: tuple[str, ...], batch_size: int, repeats: int) -> str:
    """A table for each backend, every one measured in a process of its own."""
    tables = []
    for backend in backends:
        command = [sys.executable, "-m", __name__, str(batch_size), str(repeats)]
        environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
        result = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        tables.append(f"### {backend}\n\n{HEADER}\n{result.stdout.strip()}")
    return "\n\n".join(tables)


def _measure(batch_size: int, repeats: int) -> None:
    """Print the rows of the active backend."""
    from keras_resnext.benchmark.derive import compiled

    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.standard_normal((batch_size, shape.size, shape.size, shape.in_channels), np.float32)
        depth = shape.in_channels // shape.groups
        kernel = rng.standard_normal(
            (shape.kernel, shape.kernel, depth, shape.out_channels), np.float32
        )
        for way, convolve in _ways(shape):
            forward, both = compiled(convolve, x, kernel)
            forward_ms, _ = _time(forward, repeats)
            both_ms, compile_s = _time(both, repeats)
            row = f"{shape.name} | {way} | {forward_ms:.1f} | {both_ms:.1f} | {compile_s:.1f}"
            print(f"| {row} |", flush=True)


def _ways(shape: Shape):
    """Yield every way to compute the convolution: our lowerings, Keras', PyTorch's."""
    import keras

    from keras_resnext.lowering.dispatch import WAYS
    from keras_resnext.lowering.geometry import Geometry
    from keras_resnext.lowering.table import choose
    from keras_resnext.native import BACKEND

    geometry = Geometry(
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        groups=shape.groups,
        kernel_size=(shape.kernel, shape.kernel),
        strides=(shape.stride, shape.stride),
        dilation=(1, 1),
        padding="same",
        data_format="channels_last",
    )
    for name, way in WAYS.items():
        if name == "matmul" and shape.kernel > 1:
            continue
        if shape.groups == 1 and name not in ("native", "matmul"):
            continue  # they are the native one
        if name == "native" and BACKEND == "jax" and shape.groups > 1:
            continue  # that is plain Keras, below
        chosen = " (chosen on a CPU)" if choose(BACKEND, "cpu", geometry) == name else ""
        yield f"{name}{chosen}", partial(way, geometry=geometry)
    yield (
        "plain Keras",
        partial(
            keras.ops.conv,
            strides=shape.stride,
            padding="same",
            data_format="channels_last",
        ),
    )


def _time(function, repeats: int) -> tuple[float, float]:
    """(median milliseconds a call, seconds that the first call took longer)."""
    first = _seconds(function)
    # One slow call says enough: plain Keras needs seconds for some of these.
    times = [_seconds(function) for _ in range(repeats if first < 2 else 1)]
    return 1000 * median(times), max(first - median(times), 0.0)


def _seconds(function) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


if __name__ == "__main__":
    _measure(int(sys.argv[1]), int(sys.argv[2]))
