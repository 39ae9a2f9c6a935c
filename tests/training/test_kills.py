"""Real processes, killed by the operating system: the run ends as if nothing had happened."""

import itertools
import signal
import time

import numpy as np
import pytest

from tests.training.killed import LONGEST, end_of, log_of, start
from tests.training.same_run import assert_same_run

KILLS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert end_of(start(folder, every=10), folder) == 0
    return folder


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("[!.]*"))


def leftovers(folder):
    return list(folder.rglob(".writing-*"))


def killed(folder, delay):
    """Let a process go on with the run, and kill it so long after its first checkpoint.

    Returns:
        Whether it was still at work.
    """
    before = checkpoints(folder)[-1:]
    process = start(folder)
    end = time.monotonic() + LONGEST
    while process.is_alive() and checkpoints(folder)[-1:] == before:
        assert time.monotonic() < end, log_of(folder).read_text()
        time.sleep(0.01)
    return end_of(process, folder, delay) != 0


def test_kills_at_any_moment(whole):
    delays = np.random.default_rng(0)
    kills = 0
    for number in itertools.count():
        folder = whole.with_name(f"run{number}")
        while killed(folder, delays.uniform(0, 0.5) if kills < KILLS else LONGEST):
            kills += 1
        assert_same_run(folder, whole)
        assert not leftovers(folder)
        if kills >= KILLS:
            break


def test_kill_before_each_file_of_the_first_epoch(whole):
    folder = whole.with_name("first")
    files = "settings.toml", "config.json", "last.safetensors", "model.safetensors", "history.csv"
    for file in files:
        assert end_of(start(folder, every=10, die_before=file), folder) == -signal.SIGKILL
    assert end_of(start(folder, every=10), folder) == 0
    assert_same_run(folder, whole)


def test_kill_while_a_checkpoint_is_written_and_a_full_disk(whole):
    folder = whole.with_name("third")
    first, second, third = (f"epoch00000-step000000{n}.safetensors" for n in (1, 2, 3))
    process = start(folder, die_before=third)
    assert end_of(process, folder) == -signal.SIGKILL
    assert checkpoints(folder) == [first, second]
    assert len(leftovers(folder)) == 1

    room = (folder / "checkpoints" / second).stat().st_size - 1
    assert end_of(start(folder, room=room), folder, fails=True) == 1
    *_, line = log_of(folder).read_text().splitlines()
    refused = folder / "checkpoints" / third
    assert line.startswith(f"error: cannot write {refused}: File too large. Fix that (free some")
    assert "--resume" in line
    assert checkpoints(folder) == [first, second]

    assert end_of(start(folder, every=10), folder) == 0
    assert_same_run(folder, whole)
    assert not leftovers(folder)
    assert checkpoints(folder) == [
        "epoch00001-step0000010.safetensors",
        "epoch00002-step0000000.safetensors",
    ]
