import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_resnext import blocks

UNPACK = Path(__file__).resolve().parents[2] / "shared" / "cifar100" / "unpack.py"


@pytest.fixture(scope="session")
def cifar_folder(tmp_path_factory):
    """The folder with the official cifar-100-python/ and cifar-100-python.tar.gz.

    Unpacking takes half a minute, so it is kept for later sessions; reading checks what it holds.
    """
    if not UNPACK.is_file():
        pytest.skip(f"needs the real CIFAR-100, which {UNPACK} would unpack")
    folder = tmp_path_factory.getbasetemp().parent / "cifar100"
    if not folder.exists():
        new = tmp_path_factory.mktemp("cifar")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, UNPACK, new], check=True, env=environment)
        new.rename(folder)
    return folder


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def quick_build(monkeypatch):
    """Random numbers for millions of weights take longer than the rest of a test of shapes."""
    monkeypatch.setattr(blocks, "KERNEL_INITIALIZER", "zeros")
