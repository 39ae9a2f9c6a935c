"""Runs with everything on, in each precision: killed within an epoch, they end the same."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_resnext.training.loop import train
from keras_resnext.training.network import build_network
from keras_resnext.training.options import RunOptions
from tests.training.same_run import Killed, arrays, assert_same_run, at_step, kill
from tests.training.tiny import SETTINGS, shrink

EVERYTHING = replace(
    SETTINGS,
    accumulate_steps=2,
    clip_norm=1.0,
    ema_decay=0.5,
    label_smoothing=0.1,
    class_weights="balanced",
    frozen_epochs=0.4,
    backbone_rate=0.5,
    layer_decay=0.5,
    mixup=0.2,
    cutmix=1.0,
    erasing=0.5,
    policy="trivialaugment",
    deterministic=True,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_resumes_exactly(precision, tmp_path, monkeypatch):
    initial = str(tmp_path / "initial.weights.h5")
    build_network(SETTINGS, (32, 32, 3), 5).save_weights(initial)
    freeze = precision == "mixed_bfloat16"
    settings = replace(EVERYTHING, precision=precision, weights=initial, freeze_batch_norm=freeze)
    train(settings, tmp_path / "whole", RunOptions())

    at_step(monkeypatch, 1, 3, kill)
    with pytest.raises(Killed):
        train(settings, tmp_path / "killed", RunOptions(checkpoint_every=1))
    at_step(monkeypatch, -1, -1, kill)
    train(settings, tmp_path / "killed", RunOptions(resume=True))
    assert_same_run(tmp_path / "killed", tmp_path / "whole")

    checkpoint = arrays(tmp_path / "whole/checkpoints/epoch00002-step0000000.weights.h5")
    assert all(array.dtype in (np.float32, np.int32, np.int64) for array in checkpoint.values())
    last = arrays(tmp_path / "whole/last.weights.h5")
    assert any((last[key] != checkpoint[key]).any() for key in last)  # the averages
