import os
import resource
import stat
from contextlib import contextmanager

import keras
import numpy as np
import pytest

from keras_resnext.files import write_text, write_weights, written_whole


@contextmanager
def room_for(size):
    """Have the operating system refuse what would make a file larger, in bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_writes(tmp_path):
    write_text(tmp_path / "a.json", "ä")
    write_text(tmp_path / "a.json", "ö")
    assert (tmp_path / "a.json").read_bytes() == "ö".encode()
    assert len(list(tmp_path.iterdir())) == 1


def test_leaves_the_old_file_where_writing_fails(tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_text("old")

    def fail():
        with written_whole(path) as temporary:
            assert temporary.name.endswith(".weights.h5")
            assert temporary.parent == path.parent
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_says_which_file_finds_no_room(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    message = r"cannot write .*a\.txt: File too large\. .*free some space"
    with pytest.raises(OSError, match=message), room_for(100):
        write_text(path, 101 * "x")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_says_which_folder_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*no/a\.txt: No such file or directory"):
        write_text(tmp_path / "no/a.txt", "x")


def test_file_then_name_then_folder_reach_the_disk(tmp_path, monkeypatch):
    reached = []
    fsync, rename = os.fsync, os.replace

    def note_fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        reached.append("folder" if is_folder else "file")
        fsync(descriptor)

    def note_rename(source, target):
        reached.append("name")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_rename)
    write_text(tmp_path / "a.txt", "x")
    assert reached == ["file", "name", "folder"]


def model():
    return keras.Sequential([keras.Input((300,)), keras.layers.Dense(300)])


def test_writes_weights(tmp_path):
    path = tmp_path / "a.weights.h5"
    written, read = model(), model()
    write_weights(path, written)
    read.load_weights(path)
    for value, expected in zip(read.get_weights(), written.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("size", [0, 2000, 300_000])
def test_weights_that_find_no_room(tmp_path, size):
    path = tmp_path / "a.weights.h5"
    message = r"cannot write .*a\.weights\.h5: File too large"
    with pytest.raises(OSError, match=message), room_for(size):
        write_weights(path, model())
    assert not list(tmp_path.iterdir())
