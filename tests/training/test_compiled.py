from dataclasses import replace

import keras
import pytest

from keras_resnext.data.demo import load_demo
from keras_resnext.layers import BatchNorm
from keras_resnext.native import machine
from keras_resnext.training.compiled import compiled_network, load_dataset, one_hot
from keras_resnext.training.precision import dtype_policy
from keras_resnext.training.recipes import RECIPES
from tests.training.tiny import SETTINGS, shrink


@pytest.fixture
def dataset(monkeypatch):
    shrink(monkeypatch)
    yield load_demo(train_per_class=5, validation_per_class=1, test_per_class=1)
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_weights_statistics_and_logits_in_float32(dataset, precision):
    model = compiled_network(replace(SETTINGS, precision=precision), dataset, 5)
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.output.dtype == "float32"
    assert model.layers[-2].compute_dtype == precision.removeprefix("mixed_")
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


@pytest.mark.parametrize(
    ("accelerators", "capable", "expected"),
    [
        ((), True, "float32"),
        (("gpu:0",), True, "mixed_bfloat16"),
        (("gpu:0",), False, "mixed_float16"),
    ],
)
def test_auto_goes_by_the_device(monkeypatch, accelerators, capable, expected):
    monkeypatch.setattr(machine, "accelerators", lambda: accelerators)
    monkeypatch.setattr(machine, "computes_bfloat16", lambda: capable)
    assert dtype_policy("auto") == expected
    assert dtype_policy("float32") == "float32"
    if not capable:
        with pytest.raises(ValueError, match="precision: gpu:0 does not compute in bfloat16"):
            dtype_policy("mixed_bfloat16")


def test_averaged_weights_have_statistics_of_as_many_steps(dataset):
    model = compiled_network(replace(SETTINGS, ema_decay=0.99), dataset, 5)
    assert {layer.momentum for layer in model.layers if isinstance(layer, BatchNorm)} == {0.99}


@pytest.mark.parametrize(
    ("change", "expected"), [({}, False), ({"label_smoothing": 0.1}, True), ({"cutmix": 1.0}, True)]
)
def test_labels_are_probabilities_where_they_must(change, expected):
    assert one_hot(replace(SETTINGS, **change)) == expected


def test_finetuning_needs_a_folder():
    with pytest.raises(ValueError, match="data_dir"):
        load_dataset(RECIPES["finetune"])
