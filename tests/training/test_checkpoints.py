import json
import os
from contextlib import contextmanager

import keras
import numpy as np
import pytest

from keras_resnext.training.checkpoints import CheckpointError, Checkpoints
from keras_resnext.training.optimizer import CoupledSGD
from keras_resnext.training.progress import Progress


def model(*layers, momentum=0.9):
    network = keras.Sequential([keras.Input((3,)), *(layers or [keras.layers.Dense(2)])])
    network.compile(CoupledSGD(0.1, momentum), loss="mse")
    return network


@pytest.fixture(scope="module")
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


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_keeps_the_newest(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for epoch, step in ((9, 0), (9, 5), (10, 0), (100, 0)):
        checkpoints.save(trained, Progress(epoch, step))
    assert names(tmp_path) == [
        "epoch00010-step0000000.json",
        "epoch00010-step0000000.weights.h5",
        "epoch00100-step0000000.json",
        "epoch00100-step0000000.weights.h5",
    ]


def test_keeps_fewer_from_now_on(tmp_path, trained):
    for epoch in (1, 2, 3, 4):
        Checkpoints(tmp_path, keep=4).save(trained, Progress(epoch))
    Checkpoints(tmp_path, keep=1).save(trained, Progress(5))
    assert names(tmp_path) == ["epoch00005-step0000000.json", "epoch00005-step0000000.weights.h5"]


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def advance(path):
    """Change what is still valid."""
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 3'))


def hollow(path):
    path.write_text("[]")


def forget(path):
    entry = json.loads(path.read_text())
    del entry["progress"]
    path.write_text(json.dumps(entry))


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


WEIGHTS, ENTRY = "epoch00002-step0000000.weights.h5", "epoch00002-step0000000.json"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (WEIGHTS, flip_a_bit),
        (WEIGHTS, truncate),
        (WEIGHTS, os.unlink),
        (ENTRY, truncate),
        (ENTRY, advance),
        (ENTRY, hollow),
        (ENTRY, forget),
        (ENTRY, replace_by_a_folder),
    ],
)
def test_damage_is_noticed_and_the_one_before_taken(tmp_path, trained, capsys, name, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    checkpoints.save(trained, Progress(2))
    damage(tmp_path / name)
    assert checkpoints.load(model()) == Progress(1)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Damaged checkpoint passed over: {tmp_path / ENTRY}: ")


def test_nothing_but_damage(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    flip_a_bit(tmp_path / "epoch00001-step0000000.weights.h5")
    with pytest.raises(CheckpointError, match=r"no sound checkpoint in .*SHA-256.*--run-name"):
        checkpoints.load(model())


def test_what_was_passed_over_makes_room(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(trained, Progress(2))
    truncate(tmp_path / ENTRY)
    checkpoints.save(trained, Progress(1, 5))  # as if the run had gone on from epoch 1
    assert names(tmp_path) == ["epoch00001-step0000005.json", "epoch00001-step0000005.weights.h5"]


def test_what_a_kill_left_is_no_checkpoint_and_goes(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    checkpoints.save(trained, Progress(2))
    (tmp_path / ENTRY).rename(tmp_path / f".writing-{ENTRY}")
    assert checkpoints.load(model()) == Progress(1)
    checkpoints.save(trained, Progress(1, 5))
    assert names(tmp_path) == [
        "epoch00001-step0000000.json",
        "epoch00001-step0000000.weights.h5",
        "epoch00001-step0000005.json",
        "epoch00001-step0000005.weights.h5",
    ]


def other(case):
    dense = keras.layers.Dense
    if case == "shapes":
        return model(dense(4))
    if case == "more layers":
        return model(dense(2), dense(2))
    if case == "fewer layers":
        return model(keras.layers.Flatten())
    if case == "other layers":
        return model(keras.Sequential([dense(2)]))
    return model(momentum=0.0)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("shapes", r"array 1 has shape \[3, 2\], this network's \[3, 4\]"),
        ("more layers", r"array 3 has shape \[\], this network's \[2, 2\]"),
        ("fewer layers", r"array 1 has shape \[3, 2\], this network's \[\]"),
        ("other layers", "could not be loaded"),
        ("other optimizer", r"array 5 has shape \[3, 2\], this network's None"),
    ],
)
def test_another_network(tmp_path, trained, case, message):
    Checkpoints(tmp_path).save(trained, Progress(1))
    with pytest.raises(CheckpointError, match=f"another network's or optimizer's: .*{message}"):
        Checkpoints(tmp_path).load(other(case))


def test_another_backend(tmp_path, trained, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(keras.config, "backend", lambda: "another")
        Checkpoints(tmp_path).save(trained, Progress(1))
    again = model()
    assert Checkpoints(tmp_path).load(again) == Progress(1)
    np.testing.assert_array_equal(values(again)[-1], values(trained)[-1])
    (line,) = capsys.readouterr().out.splitlines()
    assert "made under the Keras backend another; the run goes on" in line
    assert "not be bit-equal" in line


def test_another_version(tmp_path, trained):
    Checkpoints(tmp_path).save(trained, Progress(1))
    path = Checkpoints(tmp_path).save(trained, Progress(2))
    path.write_text(json.dumps({"format": 99, "weights": "elsewhere"}))
    with pytest.raises(CheckpointError, match=r"has format 99, this version reads 2\. Go on"):
        Checkpoints(tmp_path).load(model())


@contextmanager
def forbidden(path):
    """Take away all permissions, root's too."""
    mode = path.stat().st_mode
    path.chmod(0)
    os.seteuid(os.getuid() or 65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        path.chmod(mode)


@pytest.mark.parametrize("name", ["", ENTRY, WEIGHTS])
def test_no_permission(tmp_path, trained, name):
    """Neither a folder that seems empty, nor damage: the run must not go on without it."""
    Checkpoints(tmp_path).save(trained, Progress(1))
    Checkpoints(tmp_path).save(trained, Progress(2))
    with (
        forbidden(tmp_path / name),
        pytest.raises(CheckpointError, match=r"cannot read .*: Permission denied\. Get"),
    ):
        Checkpoints(tmp_path).load(model())


def test_a_failed_save_leaves_the_last_one(tmp_path, trained):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(trained, Progress(1))
    (tmp_path / f".writing-{WEIGHTS}").mkdir()  # nothing can be written here
    with pytest.raises(OSError, match=f"cannot write .*{WEIGHTS}: Is a directory"):
        checkpoints.save(trained, Progress(2))
    assert checkpoints.load(model()) == Progress(1)
