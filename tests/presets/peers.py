"""The packages that publish the weights, where they are installed."""

import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

# Makes torchvision importable beside a CPU-only torch; timm imports it too.
FIRST = Path(__file__).resolve().parents[3] / "shared" / "peers" / "torchvision_on_cpu.py"


def peer(module: str):
    """Import a module of torchvision or timm, or skip the test."""
    package = module.partition(".")[0]
    for needed in ("torch", "torchvision", package):
        if not FIRST.is_file() or not find_spec(needed):
            pytest.skip(f"needs {package}, and {FIRST} beside a CPU-only torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIRST.parent)
        importlib.import_module(FIRST.stem)
    return importlib.import_module(module)
