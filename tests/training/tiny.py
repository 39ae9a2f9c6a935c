"""A run so small that a test can afford it."""

import pytest

from keras_resnext import data
from keras_resnext.architecture import Architecture
from keras_resnext.data.demo import load_demo
from keras_resnext.training.network import ARCHITECTURES
from keras_resnext.training.settings import Settings

SETTINGS = Settings(
    model="resnext11",
    cardinality=2,
    base_width=4,
    epochs=2,
    batch_size=12,
    learning_rate=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    precision="float32",
)


def tiny_demo(name: str, *_, **__) -> data.Dataset:
    """Five steps an epoch."""
    return load_demo(train_per_class=5, validation_per_class=1, test_per_class=1)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Have the loop read the tiny demo set, and train one block instead of three."""
    patch.setattr(data, "load", tiny_demo)
    patch.setitem(ARCHITECTURES, "resnext11", Architecture((1,)))
