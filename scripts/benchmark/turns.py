"""Contestants in processes of their own, measured in turns.

A machine's speed drifts over minutes. Contestants that take turns of a few seconds drift together,
so their ratio, round by round, is worth more than either time.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

NETWORKS = Path(__file__).with_name("networks.py")
BACKENDS = ("tensorflow", "jax", "torch")
MARK = "seconds: "


@dataclass
class Contestant:
    """One network under one backend.

    Attributes:
        network: a key of `NETWORKS` in networks.py.
        backend: the Keras backend of its process.
        batch_size: images per step.
        precision: a Keras dtype policy.
        compile_seconds: what the first step took beyond a later one; set by `start`.
        step_seconds: one time per round; appended by `turn`.
    """

    network: str
    backend: str
    batch_size: int
    precision: str = "float32"
    compile_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the process, build the network and take the first, compiling step."""
        self._process = subprocess.Popen(
            [sys.executable, NETWORKS, self.network, str(self.batch_size), self.precision],
            env=backend_environment(self.backend),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        whole, one_step = self._ask(1)
        self.compile_seconds = max(whole - 2 * one_step, 0.0)

    def turn(self, steps: int) -> None:
        """Take `steps` steps while everyone else waits."""
        _, seconds = self._ask(steps)
        self.step_seconds.append(seconds / steps)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ask(self, steps: int) -> tuple[float, float]:
        """Seconds of the whole call and of the steps alone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                whole, alone = json.loads(line.removeprefix(MARK))
                return whole, alone
        raise RuntimeError(f"{self.network}: the process ended; its error stands above")


def race(contestants: list[Contestant], rounds: int, steps: int) -> str:
    """Let each take `rounds` turns of `steps` steps; return a table relative to the first."""
    started = []
    try:
        for contestant in contestants:
            started.append(contestant)
            contestant.start()
        for _ in range(rounds):
            for contestant in contestants:
                contestant.turn(steps)
    finally:
        for contestant in started:
            contestant.stop()
    lines = [
        "| network | backend | batch | ms | images/s | compile s "
        f"| speed, {contestants[0].network} = 1 |",
        "|---" * 7 + "|",
    ]
    for contestant in contestants:
        seconds = median(contestant.step_seconds)
        lines.append(
            f"| {contestant.network} | {contestant.backend} | {contestant.batch_size} "
            f"| {1000 * seconds:.1f} | {contestant.batch_size / seconds:.1f} "
            f"| {contestant.compile_seconds:.0f} | {_speed(contestants[0], contestant)} |"
        )
    return "\n".join(lines)


def _speed(peer: Contestant, contestant: Contestant) -> str:
    """By round, where the peer's is 1: the median and the range."""
    pairs = zip(peer.step_seconds, contestant.step_seconds, strict=True)
    ratios = [theirs / ours for theirs, ours in pairs]
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def backend_environment(backend: str) -> dict[str, str]:
    """Environment variables of a process under a backend."""
    return os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that the scripts share."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    options.add_argument("--batch-size", type=int, default=32, help="images per step")
    return options


def print_title(title: str) -> None:
    """Print a heading, the command, the machine and the versions, as Markdown."""
    from keras_resnext.backend import versions

    packages = ", ".join(f"{package} {version}" for package, version in versions().items())
    print(f"# {title}\n\n`python {' '.join(sys.argv)}`\n")
    print(
        f"{platform.platform()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"{packages}\n",
        flush=True,
    )
