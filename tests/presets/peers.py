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


def timm_network(architecture: str):
    """A network of timm's, on the device that holds no values."""
    timm, torch = peer("timm"), peer("torch")
    # For this one it has no entry point.
    own = architecture != "resnext101_32x48d"
    name, arguments = (architecture, {}) if own else ("resnext101_32x4d", {"base_width": 48})
    with torch.device("meta"):
        return timm.create_model(name, **arguments).eval()


def timm_multiply_adds(architecture: str, size: int) -> int:
    """Those of its modules, as they compute one image."""
    torch = peer("torch")
    counted = []

    def count(module, inputs, output):
        if hasattr(module, "weight") and module.weight.ndim > 1:
            counted.append(output.numel() * module.weight[0].numel())

    network = timm_network(architecture)
    with torch.nn.modules.module.register_module_forward_hook(count):
        network(torch.empty(1, 3, size, size, device="meta"))
    return sum(counted)
