"""Ctrl-C and SIGTERM, turned into a wish to stop at the next safe place."""

import signal
import threading


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """Training stopped on a signal, with a checkpoint saved.

    Attributes:
        signal_number: which signal.
    """

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class Interruption:
    """While entered, the first SIGINT or SIGTERM is noted; a second one acts as ever.

    An exception in the middle of a step would leave weights and optimizer state between two
    steps. Outside the main thread Python hands out no signals, and nothing is changed.

    Attributes:
        signal_number: what has been received; None: nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.signal_number: int | None = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        self._restore()

    def _note(self, number, _frame):
        self.signal_number = number
        self._restore()
        print("\nStopping after this step; again to stop at once.", flush=True)

    def _restore(self):
        while self._before:
            signal.signal(*self._before.popitem())
