"""Run the tests once under each backend, each time in a process of its own: `python -m tests`.

Two at a time, since much of a test is one thread's work. Further arguments go to pytest:
`python -m tests tests/test_layers.py -x`.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

BACKENDS = ("tensorflow", "jax", "torch")
AT_A_TIME = 2


def run(backend: str) -> int:
    """Run pytest, and print its lines as they come, each with the backend before it."""
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(f"{backend:10} | {line}", end="", flush=True)
    return process.returncode


with ThreadPoolExecutor(AT_A_TIME) as threads:
    statuses = dict(zip(BACKENDS, threads.map(run, BACKENDS), strict=True))
if failed := [backend for backend, status in statuses.items() if status]:
    sys.exit(f"Failed under {', '.join(failed)}.")
