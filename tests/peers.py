"""torchvision's and timm's networks, beside whatever PyTorch is installed; and Keras' own tests."""

import re
import unittest
from importlib.util import find_spec
from pathlib import Path

import pytest


def load_peers():
    """Import timm and torchvision, or skip the test.

    torchvision has no build for a CPU-only PyTorch, under which its compiled operations do not
    load and its import fails for want of their names; its networks and transforms need none of
    them, so the names are enough.
    """
    for package in ("torch", "torchvision", "timm"):
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    _name_operations()
    import timm
    import torchvision

    return timm, torchvision


def keras_tests(path):
    """The source of tests that Keras' wheel holds; None from 3.16 on, which leaves them out."""
    file = Path(find_spec("keras").origin).parent / "src" / path
    if not file.is_file():
        return None
    # The mark is not known here.
    return re.sub(r" *@pytest.mark.requires_trainable_backend\n", "", file.read_text("utf-8"))


def no_tests():
    """What stands where Keras' own tests would."""

    class NotShipped(unittest.TestCase):
        def test_of_keras(self):
            self.skipTest("this version of Keras comes without its tests")

    return NotShipped


_LIBRARIES = []  # an operation lives as long as its library


def _name_operations():
    import torch

    if torch.cuda.is_available() or _LIBRARIES:
        return
    library = torch.library.Library("torchvision", "DEF")
    source = Path(find_spec("torchvision").origin).with_name("_meta_registrations.py").read_text()
    for pair in set(re.findall(r'register_meta\("(\w+)"\)|torchvision::(\w+)', source)):
        library.define(f"{''.join(pair)}(Tensor x) -> Tensor")
    _LIBRARIES.append(library)
