import keras
import numpy as np
import pytest

from keras_resnext.training.checkpoints import CheckpointError, Checkpoints
from keras_resnext.training.optimizer import CoupledSGD
from keras_resnext.training.progress import Progress


def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    network.compile(CoupledSGD(0.1, 0.9), loss="mse")
    return network


@pytest.fixture
def trained():
    network = model()
    network.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=2, verbose=0)
    return network


def values(network):
    return [keras.ops.convert_to_numpy(v) for v in network.weights + network.optimizer.variables]


def test_restores_weights_optimizer_and_progress(tmp_path, trained):
    progress = Progress(3, 2, 1, 0.5, [{"epoch": 1, "loss": 0.25}], [0.1, 2.0])
    Checkpoints(tmp_path / "c").save(trained, progress)
    again = model()
    assert Checkpoints(tmp_path / "c").load(again) == progress
    for value, expected in zip(values(again), values(trained), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_nothing_there(tmp_path):
    assert Checkpoints(tmp_path / "c").load(model()) is None


def test_keeps_the_newest(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for epoch, step in ((9, 0), (9, 5), (10, 0), (100, 0)):
        checkpoints.save(trained, Progress(epoch, step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch00010-step0000000.json",
        "epoch00010-step0000000.weights.h5",
        "epoch00100-step0000000.json",
        "epoch00100-step0000000.weights.h5",
    ]


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damage_is_noticed_and_the_one_before_taken(tmp_path, trained, capsys):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    checkpoints.save(trained, Progress(2))
    damage(tmp_path / "epoch00002-step0000000.weights.h5")
    assert checkpoints.load(model()) == Progress(1)
    assert "epoch00002" in capsys.readouterr().out
    (tmp_path / "epoch00001-step0000000.weights.h5").unlink()
    with pytest.raises(CheckpointError, match=r"no sound checkpoint in .*SHA-256"):
        checkpoints.load(model())


def test_weights_without_their_entry_are_no_checkpoint(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    # As after a kill between the two files.
    checkpoints.save(trained, Progress(2))
    (tmp_path / "epoch00002-step0000000.json").unlink()
    assert checkpoints.load(model()) == Progress(1)


def test_a_failed_save_leaves_the_last_one(tmp_path, trained, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))

    def disk_full(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(trained, "save_weights", disk_full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(trained, Progress(2))
    assert checkpoints.load(model()) == Progress(1)
    assert not list(tmp_path.glob(".writing*"))
