"""Python processes of their own."""

import os
import subprocess
import sys
from pathlib import Path


def run_python(what: str, *arguments: str | Path, **environment: str) -> None:
    """Run Python, and show what it says only if it fails.

    The process computes on the CPU: this one may hold the whole GPU.

    Args:
        what: it does, for the error message, such as "writing".
        *arguments: of the interpreter.
        **environment: variables beside those of this process.

    Raises:
        RuntimeError: it failed.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    cpu = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | cpu | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise RuntimeError(f"{what} failed with status {done.returncode}; its error is above")
