"""A run so small that a test can afford it."""

import pytest

from keras_resnext import architecture, data
from keras_resnext.data import load_demo
from keras_resnext.training import Settings

SETTINGS = Settings().change(
    deterministic=True,
    model="resnext11",
    cardinality=2,
    base_width=4,
    epochs=2,
    batch_size=12,
    learning_rate=0.02,
    schedule="cosine",
    warmup_epochs=0.5,
    crop_padding=4,
    flip=True,
    precision="float32",
)


def tiny_demo() -> data.Dataset:
    """Five steps per epoch."""
    return load_demo(train_per_class=5, validation_per_class=1, test_per_class=1)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make the demo set tiny, and train one block instead of three."""
    patch.setattr(data, "load_demo", tiny_demo)
    patch.setitem(architecture.STAGE_BLOCKS, "resnext11", (1,))
