"""Contestants in processes of their own, measured in turns.

A machine's speed drifts over minutes. Contestants that take turns of a few seconds drift together,
so their ratio, round by round, is worth more than either time.
"""

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {
    # On a GPU each process takes what it needs, not all there is.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # What an earlier run has compiled is compiled again.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}
CONTESTANTS = Path(__file__).with_name("contestants.py")
BACKENDS = ("tensorflow", "jax", "torch")
MARK = "measured: "
# Those of the package for any kernel; plain PyTorch's process does not import it.
LOWERINGS = ("native", "packed", "dense", "split")


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        what: "train" or "infer".
        model: such as "resnext50_32x4d".
        batch_size: images per step.
        image_size: in pixels; images are square.
        precision: a Keras dtype policy.
    """

    what: str
    model: str
    batch_size: int
    image_size: int
    precision: str = "float32"


@dataclass
class Contestant:
    """One way to compute a task.

    Attributes:
        name: a key of `CONTESTANTS` in contestants.py.
        task: to compute.
        backend: the Keras backend of its process.
        compile_seconds: what the first step took beyond a later one.
        step_seconds: the mean of each turn.
        memory_mib: the largest memory of the process so far: of its GPU's, or resident.
    """

    name: str
    task: Task
    backend: str = "torch"
    compile_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    _process: subprocess.Popen | None = None

    @property
    def title(self) -> str:
        """The name, with the backend where there is a choice."""
        ours = self.name.startswith(("keras_resnext", "plain Keras"))
        return f"{self.name}, {self.backend}" if ours else self.name

    def start(self) -> None:
        """Start the process, build the network and take the first, compiling step, once."""
        if self._process:
            return
        from keras_resnext.console import huge_pages

        own = huge_pages() if self.name.startswith("keras_resnext") else {}  # as commands have
        self._process = subprocess.Popen(
            [sys.executable, CONTESTANTS, self.name, json.dumps(asdict(self.task))],
            env=backend_environment(self.backend) | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        whole, self._one_step = self._ask(1)
        self.compile_seconds = max(whole - 2 * self._one_step, 0.0)

    def turn(self, seconds: float) -> None:
        """Take as many steps as fit into some seconds, at least one, while everyone else waits."""
        steps = max(1, round(seconds / self._one_step))
        _, alone = self._ask(steps)
        self.step_seconds.append(alone / steps)

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _ask(self, steps: int) -> tuple[float, float]:
        """Seconds of the whole call and of the steps alone."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                whole, alone, self.memory_mib = json.loads(line.removeprefix(MARK))
                return whole, alone
        raise RuntimeError(f"{self.title}: the process ended; its error stands above")


def race(contestants: list[Contestant], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Let each take turns of some seconds; return a row for each, relative to the first."""
    try:
        for contestant in contestants:
            contestant.start()
        for _ in range(rounds):
            for contestant in contestants:
                contestant.turn(seconds)
    finally:
        for contestant in contestants:
            contestant.stop()
    return [_row(contestants[0], contestant) for contestant in contestants]


def _row(peer: Contestant, contestant: Contestant) -> dict[str, Any]:
    pairs = zip(peer.step_seconds, contestant.step_seconds, strict=True)
    ratios = [theirs / ours for theirs, ours in pairs]
    step = median(contestant.step_seconds)
    return {
        **asdict(contestant.task),
        "contestant": contestant.title,
        "step_ms": round(1000 * step, 1),
        "images_per_second": round(contestant.task.batch_size / step, 1),
        "relative_speed": round(median(ratios), 2),
        "slowest_round": round(min(ratios), 2),
        "fastest_round": round(max(ratios), 2),
        "compile_seconds": round(contestant.compile_seconds, 1),
        "memory_mib": math.ceil(contestant.memory_mib),
    }


def backend_environment(backend: str) -> dict[str, str]:
    """Environment variables of a process under a backend."""
    return os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that the scripts share."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    options.add_argument("--batch-size", type=int, default=32, help="images per step")
    return options


def title(text: str) -> str:
    """Return a heading, the command, the machine and the versions, as Markdown."""
    from keras_resnext.backend import environment

    found = environment()
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"# {text}\n\n`python {shlex.join(sys.argv)}`\n\n{found['processor']}, "
        f"{os.cpu_count()} cores, {platform.platform()}; Python {platform.python_version()}, "
        f"{packages}\n"
    )
