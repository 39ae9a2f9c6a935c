"""One training run on several devices, in one process or in several."""

import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_resnext import backend
from keras_resnext.backend import Replicas
from keras_resnext.data import Dataset
from keras_resnext.training.settings import Settings, option


class ProcessLost(RuntimeError):  # noqa: N818 - names what happened
    """Another process of the run is gone. The message says what to do."""


def start(devices: int = 1, distributed: bool = False) -> Replicas:
    """Take the devices to train on; must come before anything is computed.

    From here on only the chief prints; errors are shown by all.

    Args:
        devices: how many of this host's this process trains on.
        distributed: whether it is one of several processes, which torchrun (PyTorch) or the
            variables of `keras.distribution.initialize` (JAX) introduce to each other.

    Raises:
        ValueError: devices or processes are not there, or the backend cannot use them.
    """
    replicas = backend.native.start(devices, distributed)
    if not replicas.is_chief:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    return replicas


@contextmanager
def scope(replicas: Replicas) -> Iterator[None]:
    """Build, compile, load and fit within; raises `ProcessLost` once another process is gone."""
    try:
        with replicas.scope():
            yield
    except (RuntimeError, ValueError) as error:
        if replicas.process_count == 1 or not backend.native.is_lost_process(error):
            raise
        raise ProcessLost(
            f"another of the {replicas.process_count} processes is gone or cannot be reached (its "
            f"own output says why): {str(error).splitlines()[0]}. Stop the others, and start all "
            "again with --resume"
        ) from error


def check(settings: Settings, dataset: Dataset, replicas: Replicas) -> None:
    """Make sure that the replicas share each batch equally, as if one device trained.

    Raises:
        ValueError: they cannot; or the backend lacks what a setting needs.
    """
    count, size = replicas.count, settings.data.batch_size
    if size % count:
        raise ValueError(f"--batch-size: must be a multiple of the {count} replicas, got {size}")
    rest = len(dataset.train) % size
    if rest % count and not settings.data.drop_remainder:
        raise ValueError(
            f"--batch-size: the {len(dataset.train)} training images leave a last batch of {rest}, "
            f"which {count} replicas cannot share equally; choose another size or add "
            "--drop-remainder"
        )
    needs_whole_gradient = {
        "accumulate_steps": settings.optimizer.accumulate_steps > 1,
        "clip_norm": settings.optimizer.clip_norm > 0,
        "precision": backend.dtype_policy(settings.precision) == "mixed_float16",
    }
    for name, needed in needs_whole_gradient.items():
        if needed and count > 1 and not backend.native.WHOLE_GRADIENT:
            raise ValueError(
                f"{option(name)}: on several devices under {backend.NAME}, Keras' optimizers see "
                "the gradient of each replica alone; leave the option out, or use one device, or "
                "KERAS_BACKEND=jax or torch"
            )


def check_same(name: str, text: str, replicas: Replicas) -> None:
    """Make sure that a text is the same in all processes, which all come here; waits for them."""
    digest = zlib.crc32(text.encode()) >> 8  # what float32 holds exactly
    if largest(digest, replicas) != -largest(-digest, replicas):
        raise ValueError(
            f"{name} of the {replicas.process_count} processes differ. Start them with the same "
            "command and --output-dir, a folder that all hosts share"
        )


def largest(value: float, replicas: Replicas) -> float:
    """The largest number that any process calls this with; waits for all of them."""
    return value if replicas.process_count == 1 else backend.native.largest(value)


@contextmanager
def alone() -> Iterator[None]:
    """Compute in one process: Keras' distribution has all of JAX agree on new variables."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
