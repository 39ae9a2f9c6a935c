"""A process that trains on two devices, or on one of two: `... -m tests.training.scale_worker JOB`.

A job is a JSON file; results go beside it.
"""

import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnext import native
from keras_resnext.replicas import Replicas
from keras_resnext.training import scale
from keras_resnext.training.callbacks import SaveCheckpoints, StopOnNaN
from keras_resnext.training.compiled import (
    compiled_network,
    load_dataset,
    training_batches,
    validation_batches,
)
from keras_resnext.training.interruption import Interrupted, Interruption
from keras_resnext.training.progress import Progress
from keras_resnext.training.remaining import Remaining
from keras_resnext.training.shares import Shares
from tests.training.tiny import SETTINGS, shrink

ALONE = Replicas()


@dataclass(frozen=True)
class Run:
    """A run of the tiny network, and what happens to it."""

    name: str
    settings: dict = field(default_factory=dict)
    images: tuple[int, int] = (0, 60)
    """First training image, and the one after the last."""
    shard: tuple[int, int] | None = None
    """Part of each batch; None: that of the replicas."""
    signal: int = 0
    """Comes to the last process ..."""
    before: tuple[int, int] = (-1, -1)
    """... as this step begins: epoch and step, both from 0."""


class Signal(keras.callbacks.Callback):
    """Send the signal."""

    def __init__(self, run: Run, progress: Progress):
        super().__init__()
        self.run, self.progress = run, progress

    def on_train_batch_begin(self, batch, logs=None):
        if (self.progress.epoch, self.progress.step) == tuple(self.run.before):
            os.kill(os.getpid(), self.run.signal)


def train(folder: Path, run: Run, replicas: Replicas = ALONE) -> dict:
    """Begin or resume a run.

    Returns:
        `history` of each epoch begun here, and the `signal` that stopped it.
    """
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        return _train(folder / run.name, run, replicas)


def _train(folder, run, replicas):
    settings = replace(SETTINGS, **run.settings)
    dataset = load_dataset(settings)
    dataset = replace(
        dataset,
        train=dataset.train.take(np.arange(*run.images)),
        validation=dataset.validation.take(np.arange(11)),  # two replicas cannot share them equally
    )
    scale.check(settings, dataset, replicas)
    scale.check_same("settings", settings.to_toml(), replicas)
    if replicas.is_chief:
        folder.mkdir(exist_ok=True)
    with scale.scope(replicas), Interruption() as interruption:
        batches = training_batches(settings, dataset, workers=0, shard=run.shard or replicas.shard)
        validation = validation_batches(settings, dataset)
        if replicas.count > 1:
            validation = Shares(validation, len(dataset.validation), replicas)
        model = compiled_network(settings, dataset, len(batches))
        model.compile(model.optimizer, model.loss, weighted_metrics=["accuracy"])
        checkpoints = scale.SharedCheckpoints(folder / "checkpoints", 2, replicas)
        progress = checkpoints.load(model) or Progress()
        native.replicas.synchronise(model)
        agreed = scale.AgreedInterruption(interruption, replicas)
        callbacks = [
            *native.replicas.callbacks(),
            agreed,
            StopOnNaN(progress),
            SaveCheckpoints(checkpoints, progress, agreed, len(batches)),
        ]
        if replicas.process_index == replicas.process_count - 1:
            callbacks.append(Signal(run, progress))
        history = []
        for epoch in range(progress.epoch, settings.epochs):
            batches.set_epoch(epoch)
            rest = Remaining(batches, epoch, progress.step)
            try:
                done = model.fit(
                    rest,
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    validation_data=validation,
                    shuffle=False,
                    callbacks=callbacks,
                    verbose=0,
                )
            except Interrupted as stop:
                return {"history": history, "signal": stop.signal_number}
            history.append({name: values[0] for name, values in done.history.items()})
    return {"history": history, "signal": None}


def main(path: Path) -> None:
    """Do a job: `devices` and `distributed`, as of `scale.start`, and `runs`."""
    job = json.loads(path.read_text())
    if native.BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * job["devices"]
        tf.config.set_logical_device_configuration(cpu, devices)
    if native.BACKEND == "jax":
        native.replicas.HEARTBEAT_SECONDS = 3
    replicas = scale.start(job["devices"], job["distributed"])
    for values in job["runs"]:
        outcome = train(path.parent, Run(**values), replicas)
        result = path.parent / f"{values['name']}-process{replicas.process_index}.json"
        result.write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
