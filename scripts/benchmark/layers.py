"""Each lowering of single convolutions, beside Keras' own layer, compiled as in training."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
from turns import backend_environment, parser, title


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
HEADER = ("convolution", "way", "forward ms", "forward + gradients ms", "compile s")


def _measure(batch_size: int, repeats: int) -> None:
    """Print the table of the active backend."""
    from keras_resnext.files import markdown_table

    rng, rows = np.random.default_rng(0), []
    for shape in SHAPES:
        x = rng.standard_normal((batch_size, shape.size, shape.size, shape.in_channels), np.float32)
        depth = shape.in_channels // shape.groups
        kernel = rng.standard_normal(
            (shape.kernel, shape.kernel, depth, shape.out_channels), np.float32
        )
        for way, convolve in _ways(shape):
            forward, both = _compiled(convolve, x, kernel)
            forward_ms, _ = _time(forward, repeats)
            both_ms, compile_s = _time(both, repeats)
            times = (f"{time:.1f}" for time in (forward_ms, both_ms, compile_s))
            rows.append((shape.name, way, *times))
    print(markdown_table(HEADER, rows), flush=True)


def _ways(shape: Shape):
    """Yield every way to compute the convolution: our lowerings, and Keras' own."""
    import keras

    from keras_resnext import backend
    from keras_resnext.backend.lowering import WAYS, Geometry, choose

    geometry = Geometry(
        shape.in_channels,
        shape.out_channels,
        shape.groups,
        (shape.kernel, shape.kernel),
        (shape.stride, shape.stride),
    )
    for name, way in WAYS.items():
        if name == "matmul" and shape.kernel > 1:
            continue
        if shape.groups == 1 and name not in ("native", "matmul"):
            continue  # they are the native one
        if name == "native" and backend.NAME == "jax" and shape.groups > 1:
            continue  # that is plain Keras, below
        chosen = " (chosen on a CPU)" if choose(backend.NAME, "cpu", geometry) == name else ""
        yield f"{name}{chosen}", partial(way, geometry=geometry)
    same = {"strides": shape.stride, "padding": "same", "data_format": "channels_last"}
    yield "plain Keras", partial(keras.ops.conv, **same)


def _time(function, repeats: int) -> tuple[float, float]:
    """(median milliseconds per call, seconds that the first call took longer)."""
    first = _seconds(function)
    # One slow call says enough: plain Keras needs seconds for some of these.
    times = [_seconds(function) for _ in range(repeats if first < 2 else 1)]
    return 1000 * median(times), max(first - median(times), 0.0)


def _seconds(function) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def _compiled(function: Callable, *arrays: np.ndarray) -> tuple[Callable, Callable]:
    """Bind `function` to `arrays`.

    Returns:
        `forward()` computes the outputs, `both()` the outputs and the gradients of their sum of
        squares by every array; each returns when the numbers are there.
    """
    import keras

    from keras_resnext import backend

    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    both = backend.native.outputs_and_gradients(function)
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        function, both = tf.function(function), tf.function(both)

        def wait(found):
            for tensor in tf.nest.flatten(found):  # on a GPU, fetching one number waits for all
                tensor[(0,) * len(tensor.shape)].numpy()

    elif backend.NAME == "jax":
        import jax

        function, wait = jax.jit(function), jax.block_until_ready
    else:
        import torch

        def wait(found):
            if torch.cuda.is_available():
                torch.cuda.synchronize()

    outputs = function(*tensors)
    return lambda: wait(function(*tensors)), lambda: wait(both(outputs, *tensors))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:  # one backend, in a process of its own
        _measure(int(sys.argv[2]), int(sys.argv[3]))
        sys.exit()
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=5, help="calls per measurement")
    chosen = options.parse_args()
    print(title(f"Single convolutions, batch {chosen.batch_size}, float32"))
    for backend in chosen.backends:
        print(f"## {backend}\n", flush=True)
        command = [sys.executable, __file__, "--measure", chosen.batch_size, chosen.repeats]
        subprocess.run(
            [str(word) for word in command], env=backend_environment(backend), check=True
        )
