"""Stop a run at some step, and compare what two runs have left."""

import csv

import numpy as np
from safetensors.numpy import load_file

from keras_resnext.training.callbacks import KeepRun

LAST = "checkpoints/epoch00002-step0000000.safetensors"


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is saved any more."""


def kill(_):
    raise Killed


def at_step(monkeypatch, epoch, step, action):
    """Do something as step `step` of epoch `epoch` begins, both from 0."""

    def hook(self, batch, logs=None):
        if (self.progress.epoch, self.progress.step) == (epoch, step):
            action(self)

    monkeypatch.setattr(KeepRun, "on_train_batch_begin", hook)


def rows(folder):
    """History without the wall clock."""
    with open(folder / "history.csv") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(folder, whole):
    for name in ("last.safetensors", "model.safetensors", LAST):  # the latter with the optimizer's
        mine, expected = load_file(folder / name), load_file(whole / name)
        assert mine.keys() == expected.keys()
        for key in expected:
            np.testing.assert_array_equal(mine[key], expected[key], err_msg=f"{name}: {key}")
    assert rows(folder) == rows(whole)
