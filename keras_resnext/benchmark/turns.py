"""Contestants in processes of their own, measured in turns.

A machine's speed drifts over minutes. Contestants that take turns of a few seconds drift together,
so their ratio, round by round, is worth more than either time.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from time import perf_counter

from keras_resnext.benchmark.networks import NETWORKS


@dataclass
class Contestant:
    """One network under one backend.

    Attributes:
        network: a key of `NETWORKS`.
        backend: the Keras backend of its process.
        batch_size: images a step.
        compile_seconds: what the first step took beyond a later one; set by `start`.
        step_seconds: one time a round; appended by `turn`.
    """

    network: str
    backend: str
    batch_size: int
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
            [sys.executable, "-m", __name__, self.network, str(self.batch_size), precision],
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


_MARK = "seconds: "


def _serve(network: str, batch_size: str, precision: str) -> None:
    """Read numbers of steps, take them, answer with the seconds."""
    train = NETWORKS[network](int(batch_size), precision)
    for line in sys.stdin:
        start = perf_counter()
        alone = train(int(line))
        print(f"{_MARK}{json.dumps([perf_counter() - start, alone])}", flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
