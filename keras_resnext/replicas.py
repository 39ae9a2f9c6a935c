"""The copies of a network that train together."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


@dataclass(frozen=True)
class Replicas:
    """Copies of one network, each on a device of its own, that share every batch.

    Attributes:
        count: of all processes together.
        process_index: number of this process, from 0.
        process_count: how many processes there are.
        scope: context to build, compile, load and fit the network in. What is built outside lives
            on one device of this process.
    """

    count: int = 1
    process_index: int = 0
    process_count: int = 1
    scope: Callable[[], AbstractContextManager] = nullcontext

    @property
    def is_chief(self) -> bool:
        """Whether this is the one process that writes and prints."""
        return self.process_index == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process's part of each batch, as of `Batches`."""
        return self.process_index, self.process_count
