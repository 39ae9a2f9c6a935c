import os

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_resnext.training.checkpoints import CheckpointError, Checkpoints, Progress
from keras_resnext.training.optimizer import CoupledSGD

FIRST, SECOND = (f"epoch0000{epoch}-step0000000.safetensors" for epoch in (1, 2))


def model(*layers, momentum=0.9):
    network = keras.Sequential([keras.Input((3,)), *(layers or [keras.layers.Dense(2)])])
    network.compile(CoupledSGD(0.1, momentum), loss="mse")
    return network


@pytest.fixture(scope="module")
def trained():
    network = model()
    network.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=2, verbose=0)
    return network


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_keeps_the_newest(tmp_path, trained):
    for epoch, step in ((9, 0), (9, 5), (10, 0), (100, 0)):
        Checkpoints(tmp_path, "digest").save(trained, Progress(epoch, step))
    assert names(tmp_path) == [f"epoch00{n}-step0000000.safetensors" for n in ("010", "100")]


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def advance(path):
    """Change what is still valid."""
    path.write_bytes(path.read_bytes().replace(rb"\"epoch\": 2", rb"\"epoch\": 3"))


def empty(path):
    path.write_bytes(safetensors.numpy.save({}, {"format": "4"}))


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, advance, empty, replace_by_a_folder])
def test_damage_is_noticed_and_the_one_before_taken(tmp_path, trained, capsys, damage):
    Checkpoints(tmp_path, "digest").save(trained, Progress(1))
    Checkpoints(tmp_path, "digest").save(trained, Progress(2))
    damage(tmp_path / SECOND)
    assert Checkpoints(tmp_path, "digest").load(model()) == Progress(1)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Damaged checkpoint passed over: {tmp_path / SECOND}: ")
    if damage is not replace_by_a_folder:  # what was passed over makes room
        Checkpoints(tmp_path, "digest").save(trained, Progress(1, 5))
        assert names(tmp_path) == [FIRST, FIRST.replace("00.safe", "05.safe")]


def test_nothing_but_damage(tmp_path, trained):
    Checkpoints(tmp_path, "digest").save(trained, Progress(1))
    flip_a_bit(tmp_path / FIRST)
    with pytest.raises(CheckpointError, match=r"no intact checkpoint in .*SHA-256.*--run-name"):
        Checkpoints(tmp_path, "digest").load(model())


@pytest.mark.parametrize(
    "other",
    [
        lambda: model(keras.layers.Dense(4)),
        lambda: model(keras.layers.Dense(2), keras.layers.Dense(2)),
        lambda: model(momentum=0.0),
    ],
)
def test_another_network_or_optimizer(tmp_path, trained, other):
    Checkpoints(tmp_path, "digest").save(trained, Progress(1))
    with pytest.raises(CheckpointError, match="another network or optimizer: its"):
        Checkpoints(tmp_path, "digest").load(other())


def test_another_run_and_version(tmp_path, trained):
    Checkpoints(tmp_path, "digest").save(trained, Progress(1))
    with pytest.raises(CheckpointError, match="saved with other settings or data") as error:
        Checkpoints(tmp_path, "another").load(model())
    assert "\n" not in str(error.value)
    (tmp_path / SECOND).write_bytes(safetensors.numpy.save({}, {"format": "99"}))
    with pytest.raises(CheckpointError, match="has format '99', this version reads 4"):
        Checkpoints(tmp_path, "digest").load(model())


@pytest.mark.parametrize("name", ["", SECOND])
def test_no_permission(tmp_path, trained, name):
    """Neither a folder that seems empty, nor damage: the run must not go on without it."""
    Checkpoints(tmp_path, "digest").save(trained, Progress(1))
    Checkpoints(tmp_path, "digest").save(trained, Progress(2))
    path = tmp_path / name
    mode = path.stat().st_mode
    path.chmod(0)
    os.seteuid(os.getuid() or 65534)  # root may read everything
    try:
        with pytest.raises(PermissionError):
            Checkpoints(tmp_path, "digest").load(model())
    finally:
        os.seteuid(os.getuid())
        path.chmod(mode)
