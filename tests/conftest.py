import keras
import pytest

from keras_resnext import blocks


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def quick_build(monkeypatch):
    """Random numbers for millions of weights take longer than the rest of a test of shapes."""
    monkeypatch.setattr(blocks, "KERNEL_INITIALIZER", "zeros")
