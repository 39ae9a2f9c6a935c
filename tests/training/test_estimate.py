import keras
import pytest

from keras_resnext.training.compiled import compiled_network
from keras_resnext.training.estimate import dry_run, memory_bytes
from tests.training.tiny import SETTINGS, shrink, tiny_demo


@pytest.fixture(autouse=True)
def small(monkeypatch):
    shrink(monkeypatch)


def test_dry_run_describes_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = dry_run(SETTINGS)
    for words in (
        "Total params",
        "60 training, 12 validation, 12 test images",
        "2 epochs of 5 steps, 10 in all",
        f"Backend: {keras.backend.backend()} on ",
        "s a step after",
    ):
        assert words in text
    assert not list(tmp_path.iterdir())


def test_memory():
    model = compiled_network(SETTINGS, tiny_demo("demo"), 5)
    memory = memory_bytes(model, 10)
    assert memory["parameters"] == 4 * model.count_params()
    assert memory["gradients"] < memory["parameters"]
    assert memory["gradients"] <= memory["optimizer"] < memory["gradients"] + 100
    assert memory_bytes(model, 20)["activations"] == 2 * memory["activations"]
