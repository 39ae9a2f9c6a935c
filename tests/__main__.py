"""Run the tests once under each backend, each time in a process of its own: `python -m tests`.

Further arguments go to pytest: `python -m tests tests/test_layers.py -x`.
"""

import os
import subprocess
import sys

failed = []
for backend in ("tensorflow", "jax", "torch"):
    print(f"KERAS_BACKEND={backend}", flush=True)
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if subprocess.call([sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment):
        failed.append(backend)
if failed:
    sys.exit(f"Failed under {', '.join(failed)}.")
