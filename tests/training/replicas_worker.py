"""A process that trains on two devices, or on one of two: `... -m tests.training.replicas_worker`.

Its argument is a job, a JSON file; results go beside it.
"""

import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnext import backend, data
from keras_resnext.backend import Replicas
from keras_resnext.training import Interrupted, RunOptions, loop
from keras_resnext.training.replicas import start
from tests.training.same_run import at_step
from tests.training.tiny import SETTINGS, shrink, tiny_demo


@dataclass(frozen=True)
class Run:
    """A run of the tiny network, and what happens to it."""

    name: str
    settings: dict = field(default_factory=dict)
    shard: tuple[int, int] | None = None
    """Part of each batch; None: that of the replicas."""
    signal: int = 0
    """Comes to the last process ..."""
    before: tuple[int, int] = (-1, -1)
    """... as this step begins: epoch and step, both from 0."""
    resume: bool = False
    finish: bool = False
    """Whether to evaluate in the end, which takes long to compile."""


def train(folder: Path, run: Run, replicas: Replicas | None = None) -> dict:
    """Begin or resume a run.

    Returns:
        `results`, and the `signal` that stopped it.
    """
    replicas = replicas or Replicas()

    def load():
        dataset = tiny_demo()
        rows = np.arange(len(dataset.train))
        rows[:6] = rows[-6:]  # for classes of different sizes
        return replace(
            dataset,
            train=dataset.train.take(rows),
            # Two replicas cannot share them equally.
            validation=dataset.validation.take(np.arange(11)),
        )

    def batches(settings, dataset, workers, shard, use_multiprocessing):
        return training_batches(settings, dataset, workers, run.shard or shard, use_multiprocessing)

    training_batches = loop.training_batches
    settings = SETTINGS.change(**run.settings)
    options = RunOptions(resume=run.resume, workers=0)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(data, "load_demo", load)
        patch.setattr(loop.scale, "start", lambda *_: replicas)  # once per process
        patch.setattr(loop, "training_batches", batches)
        if not run.finish:
            patch.setattr(loop, "_finish", lambda *_: None)
        if backend.NAME == "tensorflow":
            # In float32 rounding alone, which differs by processor, parts two runs by percents:
            # a ReLU's gradient jumps where it turns the sign of a pre-activation.
            patch.setattr(backend, "dtype_policy", lambda _: "float64")
            keras.config.set_floatx("float64")
        if replicas.process_index == replicas.process_count - 1:
            at_step(patch, *run.before, lambda _: os.kill(os.getpid(), run.signal))
        try:
            return {"results": loop.train(settings, folder / run.name, options), "signal": None}
        except Interrupted as stop:
            return {"results": None, "signal": stop.signal_number}
        finally:
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")


def main(path: Path) -> None:
    """Do a job: `devices` and `distributed`, as of `start`, and `runs`."""
    job = json.loads(path.read_text())
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * job["devices"]
        tf.config.set_logical_device_configuration(cpu, devices)
    if backend.NAME == "jax":
        backend.native.HEARTBEAT_SECONDS = 3
    replicas = start(job["devices"], job["distributed"])
    for values in job["runs"]:
        outcome = train(path.parent, Run(**values), replicas)
        result = path.parent / f"{values['name']}-process{replicas.process_index}.json"
        result.write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
