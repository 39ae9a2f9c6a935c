"""Real processes, killed by the operating system: the run ends as if nothing had happened."""

import itertools
import signal
import time

import numpy as np
import pytest

from tests.training.killed import LONGEST, end_of, log_of, start
from tests.training.same_run import assert_same_run

KILLS = 8


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert end_of(start(folder, every=10), folder) == 0
    return folder


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("*.json"))


def names(folder):
    return {path.name for path in (folder / "checkpoints").iterdir()}


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


def test_kills_at_any_moment(whole, tmp_path):
    delays = np.random.default_rng(0)
    kills = 0
    for number in itertools.count():
        folder = tmp_path / f"run{number}"
        while killed(folder, delays.uniform(0, 0.5) if kills < KILLS else LONGEST):
            kills += 1
        assert_same_run(folder, whole)
        assert not list(folder.rglob(".writing-*"))
        if kills >= KILLS:
            break


def test_kills_while_a_checkpoint_is_written(whole, tmp_path):
    folder = tmp_path / "run"
    sound = {
        f"epoch00000-step000000{step}{ending}"
        for step in (1, 2)
        for ending in (".json", ".weights.h5")
    }
    third, fourth = "epoch00000-step0000003", "epoch00000-step0000004"

    process = start(folder, die_before=f"{third}.weights.h5")
    assert end_of(process, folder) == -signal.SIGKILL
    assert names(folder) == {*sound, f".writing-{third}.weights.h5"}

    process = start(folder, every=2, die_before=f"{fourth}.json")
    assert end_of(process, folder) == -signal.SIGKILL
    assert names(folder) == {
        *sound,
        f".writing-{third}.weights.h5",
        f"{fourth}.weights.h5",
        f".writing-{fourth}.json",
    }

    assert end_of(start(folder, every=10), folder) == 0
    assert_same_run(folder, whole)
    assert names(folder) == {
        f"{checkpoint}{ending}"
        for checkpoint in ("epoch00001-step0000010", "epoch00002-step0000000")
        for ending in (".json", ".weights.h5")
    }
