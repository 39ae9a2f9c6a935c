import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_resnext.data import Dataset, Split
from keras_resnext.data.official import read_official
from keras_resnext.preprocessing import fitted
from tests.peers import load_peers

UNPACK = Path(__file__).resolve().parents[3] / "shared" / "cifar100" / "unpack.py"


@pytest.fixture(scope="session")
def cifar_folder(tmp_path_factory):
    """The folder with the official cifar-100-python/ and cifar-100-python.tar.gz."""
    if not UNPACK.is_file():
        pytest.skip(f"needs the real CIFAR-100, which {UNPACK} would unpack")
    folder = tmp_path_factory.mktemp("cifar")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, UNPACK, folder], check=True, env=environment)
    return folder


@pytest.fixture(scope="session")
def raw(cifar_folder):
    return read_official(cifar_folder)


@pytest.fixture(scope="session")
def torchvision():
    return load_peers()[1]


@pytest.fixture(scope="session")
def timm_data():
    return load_peers()[0].data


def random_split(count, classes=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % classes
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Split(images, labels, labels // 2)


@pytest.fixture
def dataset():
    train, validation, test = (random_split(n, seed=n) for n in (50, 12, 8))
    preprocessing = fitted(8, (120, 125, 130), (60, 65, 70))
    return Dataset("random", train, validation, test, tuple("abcd"), tuple("xy"), preprocessing)


def write_binary(raw, folder, count=None):
    """Write the official binary files from samples and names."""
    folder.mkdir(parents=True)
    for split, name in ((raw.train, "train.bin"), (raw.test, "test.bin")):
        labels = np.stack([split.superclass_labels, split.labels], axis=1).astype(np.uint8)
        pixels = split.images.transpose(0, 3, 1, 2).reshape(len(split), -1)
        (folder / name).write_bytes(np.concatenate([labels, pixels], axis=1)[:count].tobytes())
    for names, kind in ((raw.class_names, "fine"), (raw.superclass_names, "coarse")):
        (folder / f"{kind}_label_names.txt").write_text("\n".join(names) + "\n\n")
    return folder
