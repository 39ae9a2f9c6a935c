"""What the command line does before anything else: it starts quietly, and fails in one line."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = "keras-resnext"
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def is_command() -> bool:
    """Whether this process is the command `keras-resnext`, and not somebody's program."""
    return Path(sys.argv[0] if sys.argv else "").stem == COMMAND


def huge_pages() -> dict[str, str]:
    """What the environment of a process lacks to get its memory in huge pages; nothing elsewhere.

    A training step on a CPU takes 0.8 to 0.9 of the time with them, and no more memory
    (docs/performance.md).
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    try:
        # "always" gives them anyway, "never" to nobody.
        lacks = "[madvise]" in HUGE_PAGES.read_text() and "hugetlb" not in tunables
    except OSError:  # not on Linux
        return {}
    added = ":".join(filter(None, (tunables, "glibc.malloc.hugetlb=1")))
    return {"GLIBC_TUNABLES": added} if lacks else {}


def restart_with_huge_pages() -> None:
    """Start this process anew if that brings it huge pages: glibc reads how before Python runs."""
    if (wanted := huge_pages()) and sys.executable:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wanted)


def fail(error: BaseException | str) -> int:
    """Print an error as one line on standard error; returns the exit status 1."""
    from keras_resnext.files import escape  # with NumPy, of which a restart has no use

    print(f"error: {escape(' '.join(str(error).split()))}", file=sys.stderr)
    return 1


def stop_quietly(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """As `sys.excepthook`: after Ctrl-C, also while modules are imported, one word and no trace."""
    if issubclass(kind, KeyboardInterrupt):
        print("\nStopped.", file=sys.stderr)  # Python then dies of the signal, as a shell expects
    else:
        sys.__excepthook__(kind, error, trace)


@contextmanager
def hidden_start_up_lines() -> Iterator[None]:
    """Hide what is written to standard error, by compiled code too, unless an exception leaves.

    TensorFlow announces oneDNN and processor features whatever TF_CPP_MIN_LOG_LEVEL says, since its
    logging is not initialized yet.
    """
    if sys.stderr is None:  # closed
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(terminal, hidden.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
