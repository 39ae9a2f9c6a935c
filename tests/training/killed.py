"""A run in a process that may be killed, and started again."""

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import keras
import pytest

from keras_resnext.training import RunOptions, train
from tests.training.tiny import SETTINGS, shrink

LONGER = SETTINGS.change(batch_size=4)
"""Two epochs of fifteen steps."""

LONGEST = 300.0
"""Seconds a process may take."""

# In the server already: Keras imports TensorFlow for this, under each backend, where it is there.
keras.utils.set_random_seed(0)


def start(folder: Path, **arguments) -> BaseProcess:
    """Start `live` in a process of its own.

    It is forked from a server that has imported everything, which takes seconds, and computed
    nothing: a backend does not survive a fork once it has begun to compute.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=live, args=(folder,), kwargs=arguments, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        # PyTorch's threads only wait for each other where there is so little to compute, and JAX
        # compiles for seconds in each process unless it may keep what it has compiled.
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder.parent / "jax"))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        process.start()  # and the server, if it is the first
    return process


def live(folder: Path, every: int = 1, die_before: str | None = None, room: int | None = None):
    """Begin or resume the run of `LONGER`.

    Args:
        folder: of the run; what is printed goes beside it.
        every: steps between checkpoints.
        die_before: name of a file: the process kills itself once the file is written, and before
            it gets this name.
        room: bytes that a file can have, as on a disk that is full.
    """
    import resource

    sys.stdout = sys.stderr = open(log_of(folder), "a", buffering=1)  # noqa: SIM115
    put_in_place = os.replace

    def replace_or_die(source, target):
        if Path(target).name == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        put_in_place(source, target)

    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(os, "replace", replace_or_die)
        try:
            begun = (folder / "settings.toml").exists()
            train(LONGER, folder, RunOptions(resume=begun, checkpoint_every=every))
        except OSError as error:
            print(f"error: {error}")
            os._exit(1)


def end_of(process: BaseProcess, folder: Path, seconds: float = LONGEST, fails: bool = False):
    """Wait for the end; kill what has not ended by then.

    Returns:
        Exit status: 0, or -SIGKILL, or 1 where it `fails`.
    """
    process.join(seconds)
    process.kill()
    process.join()
    expected = (1,) if fails else (0, -signal.SIGKILL)
    assert process.exitcode in expected, log_of(folder).read_text()
    return process.exitcode


def log_of(folder: Path) -> Path:
    """What the run's processes have printed."""
    return folder.with_suffix(".log")
