"""One training run on several devices, in one process or in several."""

import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from keras_resnext.data import Dataset
from keras_resnext.native import BACKEND
from keras_resnext.native import replicas as native
from keras_resnext.replicas import Replicas
from keras_resnext.training.checkpoints import Checkpoints
from keras_resnext.training.interruption import Interruption
from keras_resnext.training.precision import dtype_policy
from keras_resnext.training.progress import Progress
from keras_resnext.training.settings import Settings


class ProcessLost(RuntimeError):  # noqa: N818 - names what happened
    """Another process of the run is gone. The message says what to do."""


def start(devices: int = 1, distributed: bool = False) -> Replicas:
    """Take the devices to train on; must come before anything is computed.

    From here on only the chief prints; errors are for all.

    Args:
        devices: how many of this host's this process trains on.
        distributed: whether it is one of several processes, which torchrun (PyTorch) or the
            variables of `keras.distribution.initialize` (JAX) tell of each other.

    Raises:
        ValueError: devices or processes are not there, or the backend cannot use them.
    """
    if devices < 1:
        raise ValueError(f"devices: expected 1 or more, got {devices}")
    replicas = native.start(devices, distributed)
    if not replicas.is_chief:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    return replicas


@contextmanager
def scope(replicas: Replicas) -> Iterator[None]:
    """Build, compile, load and fit within.

    Raises:
        ProcessLost: another process is gone.
    """
    try:
        with replicas.scope():
            yield
    except (RuntimeError, ValueError) as error:
        if replicas.process_count == 1 or not native.tells_of_loss(error):
            raise
        raise ProcessLost(
            f"another of the {replicas.process_count} processes is gone or out of reach (its own "
            f"output says why): {str(error).splitlines()[0]}. End those that are left, and start "
            "all again with --resume"
        ) from error


def check(settings: Settings, dataset: Dataset, replicas: Replicas) -> None:
    """Make sure that the replicas train as one device would.

    Raises:
        ValueError: they cannot share each training batch equally, so that the mean of their
            gradients would not be its gradient; or the backend lacks what a setting needs.
    """
    count, size = replicas.count, settings.batch_size
    if size % count:
        raise ValueError(f"batch_size: expected a multiple of the {count} replicas, got {size}")
    rest = len(dataset.train) % size
    if rest % count and not settings.drop_remainder:
        raise ValueError(
            f"batch_size: the {len(dataset.train)} training images leave a last batch of {rest}, "
            f"which {count} replicas cannot share equally; choose another size or set "
            "drop_remainder"
        )
    needs_whole_gradient = {
        "accumulate_steps": settings.accumulate_steps > 1,
        "clip_norm": settings.clip_norm > 0,
        "precision": dtype_policy(settings.precision) == "mixed_float16",
    }
    for name, needed in needs_whole_gradient.items():
        if needed and count > 1 and not native.WHOLE_GRADIENT:
            raise ValueError(
                f"{name}: on several devices under {BACKEND}, Keras' optimizers see each replica's "
                f"own gradient, got {getattr(settings, name)!r}; use one device, another setting, "
                "or KERAS_BACKEND=jax or torch"
            )


def check_same(name: str, text: str, replicas: Replicas) -> None:
    """Make sure that all processes, which all come here, have the same; waits for them.

    Args:
        name: what the text is.
        text: this process's.
        replicas: of the run.

    Raises:
        ValueError: another process has another.
    """
    digest = zlib.crc32(text.encode()) >> 8  # what float32 holds exactly
    if _largest(digest, replicas) != -_largest(-digest, replicas):
        raise ValueError(
            f"{name}: the {replicas.process_count} processes differ. Start them with the same "
            "command and output_dir, a folder that all hosts share"
        )


def wait(replicas: Replicas) -> None:
    """Wait until all processes have come here."""
    _largest(0, replicas)


@contextmanager
def alone() -> Iterator[None]:
    """What one process writes while the others do not.

    Saving makes auxiliary variables, which Keras' distribution has all processes of JAX agree on.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _largest(value: float, replicas: Replicas) -> float:
    return value if replicas.process_count == 1 else native.largest(value)


class SharedCheckpoints(Checkpoints):
    """Checkpoints that the chief saves while the others wait, and all load.

    Who did not wait might end, and with it, by torchrun's hand, a chief that still writes.

    Args:
        folder: as of `Checkpoints`; all processes see it.
        keep: as of `Checkpoints`.
        replicas: of the run.
    """

    def __init__(self, folder: Path, keep: int, replicas: Replicas):
        super().__init__(folder, keep)
        self.replicas = replicas

    def save(self, model: keras.Model, progress: Progress) -> Path | None:  # type: ignore[override]
        """Save a checkpoint.

        Returns:
            Path of its JSON file on the chief, None on the others.
        """
        path = None
        if self.replicas.is_chief:
            with alone():
                path = super().save(model, progress)
        wait(self.replicas)
        return path

    def load(self, model: keras.Model) -> Progress | None:
        """Load the newest one.

        Raises:
            ValueError: the processes found different ones.
        """
        progress = super().load(model)
        check_same("checkpoint", progress.to_json() if progress else "", self.replicas)
        return progress


class AgreedInterruption(keras.callbacks.Callback):
    """An `Interruption` that comes to all processes at the end of the same step.

    Comes before the callback that asks it.

    Args:
        interruption: of this process.
        replicas: of the run.

    Attributes:
        signal_number: what any process had received as the last step or epoch ended.
    """

    def __init__(self, interruption: Interruption, replicas: Replicas):
        super().__init__()
        self.interruption = interruption
        self.replicas = replicas
        self.signal_number: int | None = None

    def on_train_batch_end(self, batch, logs=None):
        """Ask the others."""
        number = _largest(self.interruption.signal_number or 0, self.replicas)
        self.signal_number = int(number) or None

    def on_epoch_end(self, epoch, logs=None):
        """Ask again: validation takes long."""
        self.on_train_batch_end(None)
