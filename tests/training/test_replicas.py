import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_resnext import backend
from keras_resnext.backend import Replicas
from keras_resnext.training import replicas as scale
from tests.training.replicas_worker import Run, train
from tests.training.same_run import LAST, rows
from tests.training.tiny import SETTINGS, tiny_demo

ROOT = Path(__file__).parents[2]

# At such a learning rate two runs do not part where rounding turns the sign of a pre-activation.
GENTLE = {"learning_rate": 0.002, "batch_norm": "synchronized", "ema_decay": 0.9}
WHOLE = Run("whole", GENTLE)
# Share of the largest of an array; TensorFlow trains in float64 here.
WEIGHTS = 1e-6 if backend.NAME == "tensorflow" else 1e-3
STEP = {
    "epochs": 1,
    "batch_size": 60,
    "warmup_epochs": 0.0,
    "momentum": 0.0,
    "nesterov": False,
    "class_weights": "balanced",
}
HALVES = [Run(f"half{i}", STEP, shard=(i, 2)) for i in range(2)]
TOGETHER = Run("together", STEP, finish=True)


def launch(folder, processes, *runs, replicas=2):
    """Train on replicas, in one process or two, a thread each; give exit statuses and output."""
    job = folder / "job.json"
    values = {
        "devices": replicas // processes,
        "distributed": processes > 1,
        "runs": [asdict(run) for run in runs],
    }
    job.write_text(json.dumps(values))
    command = ["-m", "tests.training.replicas_worker", str(job)]
    variables = [{"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}]
    if backend.NAME == "torch" and replicas > 1:
        # Looks every 2 s, not ten times a second, whether one died, and ends the other; which says
        # why it cannot go on until then.
        torchrun = "-m torch.distributed.run --standalone --nproc-per-node=2 --monitor-interval=2"
        command = [*torchrun.split(), *command]
    elif processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "{}:{}".format(*free.getsockname())
        variables = [
            {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
            for index in range(2)
        ]
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for own in variables
    ]
    outputs = [process.communicate(timeout=240)[0] for process in started]
    return [process.returncode for process in started], "\n".join(outputs)


def outcomes(folder, name):
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}-process*.json"))]


def history(run):
    texts = ("backend", "device", "version")
    return {name: [float(row[name]) for row in rows(run)] for name in rows(run)[0].keys() - texts}


def assert_close(actual, expected, bound=1e-4):
    """The same but for rounding."""
    assert actual.keys() == expected.keys()
    for name in expected:
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            actual[name], expected[name], rtol=0, atol=bound * largest, err_msg=name
        )


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """A folder with the whole run and the two half ones, on one device."""
    folder = tmp_path_factory.mktemp("one")
    status, output = launch(folder, 1, WHOLE, *HALVES, replicas=1)
    assert status == [0], output
    return folder


def assert_same_run(run, whole):
    assert_close(history(run), history(whole))
    assert_close(load_file(run / LAST), load_file(whole / LAST), WEIGHTS)


@pytest.mark.skipif(backend.NAME == "torch", reason="needs a process for each device")
def test_two_devices_of_one_process_equal_one(one_device, tmp_path):
    status, output = launch(tmp_path, 1, WHOLE, TOGETHER)
    assert status == [0], output
    assert_same_run(tmp_path / "whole", one_device / "whole")
    assert_is_mean_of_halves(tmp_path, one_device)


def test_two_replicas_stop_resume_and_end_as_one(one_device, tmp_path):
    """Two replicas, again two if one of two processes can be killed, and one."""
    processes = 1 if backend.NAME == "tensorflow" else 2
    torchs = [TOGETHER] if backend.NAME == "torch" else []
    stopped = replace(WHOLE, signal=signal.SIGTERM, before=(1, 1))
    status, output = launch(tmp_path, processes, stopped, *torchs)
    assert set(status) == {0}, output
    signals = [outcome["signal"] for outcome in outcomes(tmp_path, "whole")]
    assert signals == [signal.SIGTERM] * processes  # which came to the last one
    if torchs:
        assert_is_mean_of_halves(tmp_path, one_device)

    rest = replace(WHOLE, resume=True)
    if processes == 2:
        status, output = launch(tmp_path, 2, replace(rest, signal=signal.SIGKILL, before=(1, 4)))
        assert 0 not in status
        assert "ProcessLost: another of the 2 processes is gone" in output
    train(tmp_path, rest)
    assert_same_run(tmp_path / "whole", one_device / "whole")


def assert_is_mean_of_halves(folder, one_device):
    """Per-replica statistics: one step of plain SGD is the mean of two devices' own steps."""
    one, other = (one_device / half.name for half in HALVES)
    both = folder / TOGETHER.name
    loss = np.mean([history(half)["loss"] for half in (one, other)])
    np.testing.assert_allclose(history(both)["loss"], loss, rtol=1e-5)
    name = "checkpoints/epoch00001-step0000000.safetensors"
    one, other, both = (load_file(run / name) for run in (one, other, both))
    assert_close(both, {key: (one[key] + other[key]) / 2 for key in one}, 10 * WEIGHTS)
    first, *others = (outcome["results"] for outcome in outcomes(folder, TOGETHER.name))
    assert 0 <= first["test_accuracy_best"] <= 1
    assert all(result["test_accuracy_best"] == first["test_accuracy_best"] for result in others)


class TestRefusals:
    @pytest.mark.skipif(backend.NAME == "torch", reason="see below")
    def test_more_devices_than_there_are(self):
        with pytest.raises(ValueError, match=r"devices: .*at most the \d+ that .* sees"):
            scale.start(99)

    @pytest.mark.skipif(backend.NAME != "torch", reason="PyTorch's")
    def test_torch_without_torchrun_and_torchrun_without_distributed(self, monkeypatch):
        with pytest.raises(ValueError, match=r"torchrun --nproc-per-node 2 .*--distributed"):
            scale.start(2)
        with pytest.raises(ValueError, match="was not started by torchrun"):
            scale.start(distributed=True)
        # Within DistributedDataParallel, too, fit would train each copy apart.
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ValueError, match=r"one of 2 processes.*Add --distributed"):
            scale.start()

    @pytest.mark.skipif(backend.NAME != "jax", reason="JAX's")
    def test_jax_without_addresses(self):
        with pytest.raises(ValueError, match="Set KERAS_DISTRIBUTION_JOB_ADDRESSES"):
            scale.start(distributed=True)

    @pytest.mark.skipif(backend.NAME != "tensorflow", reason="TensorFlow's")
    def test_tensorflow_in_several_processes(self, monkeypatch):
        with pytest.raises(ValueError, match=r"keras/issues/20585.*KERAS_BACKEND=jax or torch"):
            scale.start(distributed=True)
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["one:1", "two:1"]}}))
        with pytest.raises(ValueError, match="unset TF_CONFIG"):
            scale.start()

    def test_batches_that_cannot_be_shared(self):
        dataset, eight = tiny_demo(), Replicas(8)
        with pytest.raises(ValueError, match="--batch-size: must be a multiple of the 8 replicas"):
            scale.check(SETTINGS, dataset, eight)
        settings = SETTINGS.change(batch_size=16)
        with pytest.raises(ValueError, match="leave a last batch of 12, which 8 replicas"):
            scale.check(settings, dataset, eight)
        scale.check(settings.change(drop_remainder=True), dataset, eight)

    @pytest.mark.skipif(backend.NAME != "tensorflow", reason="TensorFlow's")
    @pytest.mark.parametrize(
        "setting", [{"accumulate_steps": 2}, {"clip_norm": 1.0}, {"precision": "mixed_float16"}]
    )
    def test_tensorflow_needs_the_whole_gradient(self, setting):
        settings = SETTINGS.change(**setting)
        scale.check(settings, tiny_demo(), Replicas(1))
        with pytest.raises(ValueError, match="see the gradient of each replica alone"):
            scale.check(settings, tiny_demo(), Replicas(2))

    @pytest.mark.parametrize("other", [3, 1 << 23])
    def test_processes_that_differ(self, monkeypatch, other):
        two = Replicas(2, 0, 2)
        monkeypatch.setattr(backend.native, "largest", lambda value: value)
        scale.check_same("The settings", "mine", two)
        monkeypatch.setattr(
            backend.native, "largest", lambda value: max(value, other if value > 0 else -other)
        )
        with pytest.raises(ValueError, match="The settings of the 2 processes differ"):
            scale.check_same("The settings", "mine", two)
