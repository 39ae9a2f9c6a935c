"""A disk that is full: the operating system refuses to write, as it would then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.training.killed import LONGEST, end_of, log_of, start
from tests.training.same_run import assert_same_run

ROOT = Path(__file__).parents[2]
LIMITED = """
import resource, sys
from pathlib import Path
from keras_resnext.commands.line import status
from tests.training.killed import live

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.exit(status(lambda: live(Path(sys.argv[1]))))
"""


def test_checkpoint_that_finds_no_room(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert end_of(start(whole, every=10), whole) == 0
    process = start(folder, die_before="epoch00000-step0000003.weights.h5")
    assert end_of(process, folder) == -signal.SIGKILL
    room = next(whole.glob("checkpoints/*.weights.h5")).stat().st_size - 1

    # A process of its own to the end: HDF5 used to crash it there.
    command = [sys.executable, "-c", LIMITED, folder, str(room)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, timeout=LONGEST)
    assert result.returncode == 1
    *_, line = log_of(folder).read_text().splitlines()
    refused = folder / "checkpoints/epoch00000-step0000003.weights.h5"
    assert line.startswith(f"error: cannot write {refused}: File too large. Mend that (free some")
    assert "--resume" in line
    assert sorted(path.name for path in refused.parent.iterdir()) == [
        "epoch00000-step0000001.json",
        "epoch00000-step0000001.weights.h5",
        "epoch00000-step0000002.json",
        "epoch00000-step0000002.weights.h5",
    ]

    assert end_of(start(folder), folder) == 0
    assert_same_run(folder, whole)
