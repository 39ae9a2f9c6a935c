"""The Keras backend that computes: which one it is, what it runs on, and its own operations.

`native` is the module of the active backend, `tensorflow.py`, `jax.py` or `torch.py`: the one place
with backend-specific code. Each has the same names:

`DEVICES`: kinds of device that the lowerings distinguish; `"cpu"` is always one of them.
`convolution(x, kernel, geometry)`: the backend's own convolution, grouped or not; the kernel is
    (height, width, in_channels / groups, out_channels).
`matmul(x, kernel)`: the product of two matrices, in their dtype.
`by_device(x, kernel, ways)`: `ways[device](x, kernel)` for the device that computes; in data
    parallelism each device convolves its own part of the batch.
`batch_normalize(x, gamma, beta, axis, epsilon, synchronized)`: normalize by the mean and biased
    variance of each replica's part of the batch, or of the whole batch if synchronized; returns
    `(outputs, mean, unbiased variance)`, the statistics averaged over the replicas, in float32 or
    wider and without gradient.
`normalize(x, mean, variance, gamma, beta, axis, epsilon)`: the same by given statistics; None
    where nothing is faster than Keras' own.
`run_lean(model)`: let a functional model, run layer by layer, keep no tensor longer than needed and
    spend no time beside its layers.
`recompute(function)`: the same function of tensors, which keeps its arguments alone and is computed
    again for the gradient.
`outputs_and_gradients(function)`: a function of `(cotangent, *tensors)`, to be kept, that returns
    `function(*tensors)` and the gradients of `sum(outputs * cotangent)` for all the tensors.
`begin_command()`: what a process that is the command `keras-resnext` does first.
`accelerators()`: names of the GPUs and TPUs that it sees.
`computes_bfloat16()`: whether the accelerators do so in hardware.
`CPU_BFLOAT16`: instructions of a CPU, as Linux calls them, by which it was measured to gain in
    bfloat16; one of them is enough.
`make_deterministic()`: from now on, the same program gives the same bits.
`WHOLE_GRADIENT`: whether an optimizer clips, accumulates and checks the gradient of the whole
    batch, not that of each replica's part.
`start(devices, distributed)`: take that many devices of this host, and join the other processes
    if distributed; returns `Replicas`. A ValueError says what is missing.
`synchronize(model)`: let the steps of a compiled model, whose weights become those of the first
    process, follow the mean gradient of all processes.
`callbacks()`: those that `fit` needs first in its list, to report metrics of all processes.
`largest(value)`: the largest number that any process calls this with; all must call it.
`is_lost_process(error)`: whether an exception says that another process is gone.

Importing this package imports neither Keras nor a backend: `native` does, when it is first used.
"""

import ctypes
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

Backend = Literal["tensorflow", "jax", "torch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
PACKAGES = (
    "keras-resnext",
    "keras",
    "numpy",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "jaxlib",
    "torch",
)
CPU_INFO = Path("/proc/cpuinfo")


class BackendError(ImportError):
    """Keras' backend is unknown or not installed. The message says what is, and what to type."""


def check_backend() -> str:
    """Return the name of the backend that Keras takes, if it is one of ours and installed.

    Keras takes the environment variable `KERAS_BACKEND`, else `backend` of `~/.keras/keras.json`,
    else TensorFlow.

    Raises:
        BackendError: it is not one of `BACKENDS`, or its package is not installed.
    """
    name, source = _chosen()
    installed = [backend for backend in BACKENDS if find_spec(backend)]
    if name in installed:
        return name
    if name in BACKENDS:
        problem = f"{source} asks for the Keras backend {name!r}, which is not installed."
    else:
        problem = f"{source} asks for {name!r}, which is not one of {', '.join(BACKENDS)}."
    if installed:
        remedy = f"Installed: {', '.join(installed)}. Type: export KERAS_BACKEND={installed[0]}"
    else:
        wanted = name if name in BACKENDS else BACKENDS[0]
        remedy = f'No backend is installed. Type: pip install "keras-resnext[{wanted}]"'
    raise BackendError(f"{problem} {remedy}")


def _chosen() -> tuple[str, str]:
    """The backend that Keras takes, and what chooses it."""
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend(), "The imported Keras"
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    home = os.environ.get("KERAS_HOME")
    config = (Path(home) if home else Path.home() / ".keras") / "keras.json"
    try:
        name = json.loads(config.read_text()).get("backend")
    except (OSError, ValueError, AttributeError):  # Keras, too, goes on without the file
        name = None
    if name:
        return str(name), str(config)
    return "tensorflow", "Keras' default (KERAS_BACKEND is not set)"


NAME = check_backend()
native: ModuleType


def __getattr__(name: str) -> ModuleType:
    if name != "native":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["native"] = module = import_module(f"keras_resnext.backend.{NAME}")
    return module


@dataclass(frozen=True)
class Replicas:
    """Copies of one network, each on a device of its own, that share every batch.

    Attributes:
        count: of all processes together.
        process_index: number of this process, from 0.
        process_count: how many processes there are.
        scope: context to build, compile, load and fit the network in. What is built outside lives
            on one device of this process.
    """

    count: int = 1
    process_index: int = 0
    process_count: int = 1
    scope: Callable[[], AbstractContextManager] = nullcontext

    @property
    def is_chief(self) -> bool:
        """Whether this is the one process that writes and prints."""
        return self.process_index == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process's part of each batch, as `Batches` takes it: (index, count)."""
        return self.process_index, self.process_count


def of_libc(name: str) -> Callable | None:
    """A function of the C library that glibc alone may have; None where it is missing."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def device() -> str:
    """Where the backend computes by default: "CPU", "cuda:0", "GPU:0" ..."""
    import keras

    # Tensors of all three backends have this attribute; TensorFlow's is a job path.
    name = str(keras.ops.zeros(()).device).rpartition("device:")[2]
    return "CPU" if "cpu" in name.lower() else name


def versions() -> dict[str, str]:
    """Versions of those of `PACKAGES` that are installed."""
    found = {}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def environment() -> dict:
    """Versions, backend and device, as JSON can hold them."""
    import keras

    return {
        "backend": NAME,
        "device": device(),
        "image_data_format": keras.config.image_data_format(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu_info("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "packages": versions(),
    }


def dtype_policy(precision: str) -> str:
    """Return the Keras dtype policy that a precision means on this machine.

    Weights, the statistics of `BatchNorm` and the networks' heads are float32 under all of them;
    under mixed_float16 `compile` scales the loss.

    Args:
        precision: "float32", "mixed_bfloat16", "mixed_float16", or "auto": the half precision that
            the accelerator computes in hardware; without one, mixed_bfloat16 where the processor
            and the backend have instructions for it, else float32 (measured: docs/performance.md).

    Raises:
        ValueError: the accelerator does not compute in bfloat16.
    """
    native = import_module(f"keras_resnext.backend.{NAME}")
    accelerators, capable = native.accelerators(), native.computes_bfloat16()
    if precision == "mixed_bfloat16" and not capable:
        raise ValueError(
            f"precision: {accelerators[0]} does not compute in bfloat16; choose mixed_float16 or "
            f"float32 (backend {NAME})"
        )
    if precision != "auto":
        return precision
    if not accelerators:
        fast = native.CPU_BFLOAT16 & set(cpu_info("flags").split())
        return "mixed_bfloat16" if fast else "float32"
    return "mixed_bfloat16" if capable else "mixed_float16"


def cpu_info(key: str) -> str:
    """What Linux says of the first processor under a key; "" if nothing, and on other systems."""
    try:
        found = re.search(rf"^{key}\s*: (.*)", CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""
