"""Real photographs that other packages bring along."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

FILES = {
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


def photograph(name: str) -> Image.Image:
    """Open one of `FILES` as RGB; skip the test where its package is not installed."""
    package, place = FILES[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the photograph {name} comes with {package}")
    return Image.open(Path(spec.origin).parent / place).convert("RGB")
