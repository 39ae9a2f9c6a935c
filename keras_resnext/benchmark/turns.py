"""Contestants in processes of their own, measured in turns.

A machine's speed drifts over minutes. Contestants that take turns of a few seconds drift together,
so their ratio, round by round, is worth more than either time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from keras_resnext.benchmark.networks import NETWORKS


@dataclass
class Contestant:
    """One network under one backend.

    Attributes:
        network: a key of `NETWORKS`, or of what the module serves.
        backend: the Keras backend of its process.
        batch_size: images a step.
        module: what its process runs, which ends in a call of `serve`.
        compile_seconds: what the first step took beyond a later one; set by `start`.
        step_seconds: one time a round; appended by `turn`.
    """

    network: str
    backend: str
    batch_size: int
    module: str = __name__
    compile_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the table calls it."""
        return (
            self.network if self.network.endswith("PyTorch") else f"{self.network}, {self.backend}"
        )

    def start(self, precision: str) -> None:
        """Start the process, build the network and take the first, compiling step."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, self.network, str(self.batch_size), precision],
            env=os.environ | {"KERAS_BACKEND": self.backend, "TF_CPP_MIN_LOG_LEVEL": "2"},
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
            if line.startswith(_MARK):
                whole, alone = json.loads(line.removeprefix(_MARK))
                return whole, alone
        raise RuntimeError(f"{self.name}: the process ended; its error stands above.")


def race(contestants: list[Contestant], rounds: int, steps: int, precision: str) -> None:
    """Start all, and let each take `rounds` turns of `steps` steps."""
    try:
        for contestant in contestants:
            contestant.start(precision)
        for _ in range(rounds):
            for contestant in contestants:
                contestant.turn(steps)
    finally:
        for contestant in contestants:
            contestant.stop()


def speedup(peer: Contestant, contestant: Contestant) -> str:
    """Speed where the peer's is 1, by round: the median and the range."""
    pairs = zip(peer.step_seconds, contestant.step_seconds, strict=True)
    ratios = [theirs / ours for theirs, ours in pairs]
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


_MARK = "seconds: "


def serve(networks: Mapping[str, Callable], network: str, batch_size: str, precision: str) -> None:
    """Read numbers of steps, take them, answer with the seconds."""
    train = networks[network](int(batch_size), precision)
    for line in sys.stdin:
        start = perf_counter()
        alone = train(int(line))
        print(f"{_MARK}{json.dumps([perf_counter() - start, alone])}", flush=True)


if __name__ == "__main__":
    serve(NETWORKS, *sys.argv[1:])
