import os
import sys
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_resnext import ResNeXt, backend
from keras_resnext.backend import BackendError, check_backend
from tests.gradients import outputs_and_gradients


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretend that these backends are installed, and that Keras has not chosen yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras")

    def pretend(*names):
        monkeypatch.setattr(backend, "find_spec", lambda name: name in names or None)

    return pretend


@pytest.mark.parametrize(
    ("chosen", "there", "message"),
    [
        (
            "jax",
            ["torch"],
            "'jax', which is not installed. Installed: torch. Type: export KERAS_BA",
        ),
        ("foo", ["jax", "torch"], "'foo', which is not one of tensorflow, jax, torch. Inst"),
        ("", ["jax"], r"KERAS_BACKEND is not set\) asks for the Keras backend 'tensorflow'"),
        ("jax", [], r'No backend is installed. Type: pip install "keras-resnext\[jax\]"'),
    ],
)
def test_says_what_is_wrong_and_what_to_type(installed, monkeypatch, chosen, there, message):
    installed(*there)
    monkeypatch.setenv("KERAS_BACKEND", chosen)
    with pytest.raises(BackendError, match=message):
        check_backend()


def test_reads_the_configuration_file_as_keras_does(installed, monkeypatch, tmp_path):
    installed("torch")
    monkeypatch.delenv("KERAS_BACKEND")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert check_backend() == "torch"
    (tmp_path / "keras.json").write_text("{")
    with pytest.raises(BackendError, match="'tensorflow'"):
        check_backend()


def test_an_imported_keras_has_chosen(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "foo")
    assert check_backend() == keras.config.backend() == backend.NAME


def test_precision_auto_is_what_the_machine_computes(monkeypatch, tmp_path):
    monkeypatch.setattr(backend.native, "accelerators", lambda: ("cuda:0",))
    monkeypatch.setattr(backend.native, "computes_bfloat16", lambda: False)
    assert backend.dtype_policy("auto") == "mixed_float16"
    with pytest.raises(ValueError, match="precision: cuda:0 does not compute in bfloat16; choose"):
        backend.dtype_policy("mixed_bfloat16")
    monkeypatch.setattr(backend.native, "computes_bfloat16", lambda: True)
    assert backend.dtype_policy("auto") == "mixed_bfloat16"
    monkeypatch.setattr(backend.native, "accelerators", lambda: ())
    avx512 = "float32" if backend.NAME == "jax" else "mixed_bfloat16"
    of_processors = {
        "fma avx512f": "float32",
        "fma avx512_bf16": avx512,
        "amx_bf16 amx_tile": "mixed_bfloat16",
    }
    monkeypatch.setattr(backend, "CPU_INFO", tmp_path / "cpuinfo")
    assert backend.dtype_policy("auto") == "float32"
    for flags, expected in of_processors.items():
        backend.CPU_INFO.write_text(f"processor\t: 0\nflags\t\t: {flags} bmi1\n")
        assert backend.dtype_policy("auto") == expected


@pytest.mark.skipif(backend.NAME != "jax", reason="the flags are XLA's")
def test_xla_gets_flags_that_it_knows_and_the_users_go_first(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    backend.native._add_flag("--xla_no_such_flag=true")  # would end the process
    backend.native.begin_command()
    backend.native.begin_command()
    assert os.environ["XLA_FLAGS"] == f"--xla_a=1 {backend.native.SCHEDULER}"
    monkeypatch.setenv("XLA_FLAGS", user := backend.native.SCHEDULER.replace("false", "true"))
    backend.native.begin_command()
    assert os.environ["XLA_FLAGS"] == user


X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
Y = np.array([[5.0, 7.0]], np.float32)
COTANGENT = np.array([[1.0, 10.0], [0.0, -1.0]], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_equal_calculus(dtype):
    """The cotangent is float32 all the same."""

    def function(x, y):
        return ops.cast(x, dtype) ** 2 * ops.cast(y, dtype)

    outputs, (by_x, by_y) = outputs_and_gradients(function, COTANGENT, X, Y)
    np.testing.assert_array_equal(outputs, X**2 * Y)
    np.testing.assert_array_equal(by_x, COTANGENT * 2 * X * Y)
    np.testing.assert_array_equal(by_y, (COTANGENT * X**2).sum(0, keepdims=True))


def test_gradients_of_a_layer_by_several_batches():
    """Another size compiles anew, and PyTorch accumulates nothing in the weights."""
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    run = backend.native.outputs_and_gradients(layer)
    for rows in (2, 1, 2):
        _, (gradient,) = run(*map(ops.convert_to_tensor, (COTANGENT[:rows], X[:rows])))
        expected = COTANGENT[:rows] @ ops.convert_to_numpy(layer.kernel).T
        np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, rtol=1e-5)
    assert getattr(layer.kernel.value, "grad", None) is None


@pytest.mark.skipif(backend.NAME != "torch", reason="the others compile a network into one program")
def test_a_network_keeps_no_tensor_longer_than_it_is_needed(monkeypatch):
    kept, most = [], [0]
    call = keras.layers.ReLU.call

    def noted(self, inputs):
        outputs = call(self, inputs)
        kept.append(weakref.ref(outputs))
        most[0] = max(most[0], sum(tensor() is not None for tensor in kept))
        return outputs

    monkeypatch.setattr(keras.layers.ReLU, "call", noted)
    model = ResNeXt((2, 2), 2, 4, classes=3)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3), np.float32)
    ours = model.predict_on_batch(images)
    assert len(kept) == 13
    assert most[0] <= 3
    as_keras_runs_it = keras.Model(model.inputs, model.outputs)
    np.testing.assert_array_equal(as_keras_runs_it.predict_on_batch(images), ours)
    assert most[0] == 13


@pytest.mark.skipif(backend.NAME != "torch", reason="the others compile a network into one program")
def test_a_network_computes_what_keras_computes():
    """Also what Keras does around a layer's call: casts, losses, masks, the mode of training."""
    inputs = x = keras.Input((6, 4))
    x = keras.layers.Masking()(x)
    x = keras.layers.Dense(5, dtype="mixed_bfloat16")(x)
    x = keras.layers.Dense(5, activity_regularizer="l2")(x)
    x = keras.layers.BatchNormalization(dtype="mixed_bfloat16")(x)
    x = keras.layers.Add()([x, keras.layers.Dropout(0.9, seed=0)(x)])
    x = keras.Sequential([keras.layers.BatchNormalization()])(keras.ops.relu(x))
    plain = keras.Model(inputs, x)
    lean = keras.models.clone_model(plain)
    lean.set_weights(plain.get_weights())
    backend.native.run_lean(lean)
    images = np.random.default_rng(0).standard_normal((3, 6, 4), np.float32)
    images[0, 4:] = 0  # masked
    for training in (False, True):
        for given in (images, np.abs(images) + 1):
            ours, theirs = lean(given, training=training), plain(given, training=training)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (lean.losses, plain.losses)))
            for after in zip(lean.get_weights(), plain.get_weights(), strict=True):
                np.testing.assert_array_equal(*after)
