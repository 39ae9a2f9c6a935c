"""Every lowering against an independent, slow reference."""

import os
import subprocess
import sys
from itertools import product

import keras
import numpy as np
import pytest
from keras import ops

from keras_resnext import GroupedConv2D, native
from keras_resnext.lowering.dispatch import LOWERINGS, WAYS, grouped_conv2d
from keras_resnext.lowering.geometry import Geometry
from tests.gradients import outputs_and_gradients, relative_error
from tests.lowering.reference import convolve

CHANNELS = 32
GRID = [
    dict(groups=g, kernel=k, strides=s, padding=p)
    for g, k, s, p in product((1, 2, 8, 32), (1, 3, 5), (1, 2), ("same", "valid"))
]
CORNERS = [
    dict(groups=8, dilation=2),
    dict(groups=32, kernel=5, dilation=2, padding="valid"),
    dict(groups=8, channels_first=True),
    dict(groups=2, channels_first=True, strides=2, padding="valid"),
    dict(groups=8, kernel=1, strides=2, channels_first=True),
    dict(groups=8, filters=64),  # more outputs than inputs a group
    dict(groups=32, filters=64, kernel=1),
    dict(groups=4, size=(5, 8), strides=2),  # odd and even: "same" pads unevenly
    dict(groups=1, kernel=3, dilation=2),
]


def skip_unsupported(lowering, case, dtype="float32"):
    if lowering == "matmul" and case.get("kernel", 3) != 1:
        pytest.skip("matmul is for 1x1 kernels")
    if lowering == "native" and native.BACKEND == "tensorflow" and case.get("groups") != 1:
        import tensorflow as tf

        if native.operations.device(tf.as_dtype(dtype)) == "cpu without grouped gradient":
            pytest.skip(f"TensorFlow has no grouped gradient in {dtype} on this CPU")


def run(lowering, dtype="float32", *, groups, kernel=3, strides=1, padding="same", dilation=1,
        channels_first=False, filters=CHANNELS, size=(7, 6)):  # fmt: skip
    """Largest relative error of outputs and both gradients."""
    size = tuple(n + (kernel - 1) * dilation for n in size)
    rng = np.random.default_rng(groups + kernel)
    rounded = lambda a: ops.convert_to_numpy(ops.cast(ops.cast(a, dtype), "float32"))  # noqa: E731
    x = rounded(rng.standard_normal((3, *size, CHANNELS), np.float32))
    weights = rounded(
        rng.standard_normal((kernel, kernel, CHANNELS // groups, filters), np.float32)
    )
    geometry = Geometry(
        in_channels=CHANNELS,
        out_channels=filters,
        groups=groups,
        kernel_size=(kernel, kernel),
        strides=(strides, strides),
        dilation=(dilation, dilation),
        padding=padding,
        data_format="channels_first" if channels_first else "channels_last",
    )
    expected, cotangent, *expected_gradients = convolve(
        x,
        weights,
        1,
        groups=groups,
        strides=geometry.strides,
        dilation=geometry.dilation,
        padding=padding,
    )

    def function(x, weights):
        x = ops.cast(x, dtype)
        if channels_first:
            x = ops.transpose(x, (0, 3, 1, 2))
        out = grouped_conv2d(x, ops.cast(weights, dtype), geometry, lowering)
        return ops.transpose(out, (0, 2, 3, 1)) if channels_first else out

    out, gradients = outputs_and_gradients(function, cotangent, x, weights)
    assert out.shape == expected.shape
    return max(
        relative_error(actual, wanted)
        for actual, wanted in zip([out, *gradients], [expected, *expected_gradients], strict=True)
    )


@pytest.mark.parametrize("case", GRID + CORNERS, ids=str)
def test_auto_equals_reference(case):
    assert run("auto", **case) < 1e-5


@pytest.mark.parametrize("lowering", WAYS)
@pytest.mark.parametrize("case", GRID[::5] + CORNERS, ids=str)
def test_each_lowering_equals_reference(lowering, case):
    skip_unsupported(lowering, case)
    assert run(lowering, **case) < 1e-5


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 2**-6), ("float16", 2**-8)])
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_half_precision(lowering, kernel, dtype, bound):
    """A few roundings: TensorFlow adds float16 products up in float16."""
    case = dict(groups=8, kernel=kernel)
    skip_unsupported(lowering, case, dtype)
    assert run(lowering, dtype, **case) < bound


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_unknown_batch_and_size(lowering, kernel):
    """A layer built without sizes takes any, compiled once."""
    skip_unsupported(lowering, dict(groups=4, kernel=kernel))
    layer = GroupedConv2D(16, kernel, strides=2, padding="same", groups=4, lowering=lowering)
    inputs = keras.Input((None, None, 16))
    model = keras.Model(inputs, layer(inputs))
    for shape in ((1, 5, 8, 16), (2, 6, 3, 16)):
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        expected, *_ = convolve(
            x, layer.get_weights()[0], 0, groups=4, strides=(2, 2), dilation=(1, 1), padding="same"
        )
        assert relative_error(model.predict(x, verbose=0), expected) < 1e-5


@pytest.mark.skipif(native.BACKEND != "jax", reason="jax.export is JAX's")
def test_one_exported_program_holds_both_platforms():
    import jax
    from jax import export

    geometry = Geometry(16, 16, 4, (3, 3), (1, 1), (1, 1), "same", "channels_last")
    batch = export.symbolic_shape("b")
    exported = export.export(
        jax.jit(lambda x, k: grouped_conv2d(x, k, geometry)), platforms=("cpu", "cuda")
    )(
        jax.ShapeDtypeStruct((*batch, 8, 8, 16), np.float32),
        jax.ShapeDtypeStruct((3, 3, 4, 16), np.float32),
    )
    assert exported.platforms == ("cpu", "cuda")
    assert "feature_group_count = 4" in str(exported.mlir_module())  # the GPU's
    assert "feature_group_count = 1" in str(exported.mlir_module())  # the CPU's
    x = np.ones((3, 8, 8, 16), np.float32)
    assert exported.call(x, np.ones((3, 3, 4, 16), np.float32)).shape == (3, 8, 8, 16)


@pytest.mark.skipif(native.BACKEND != "tensorflow", reason="oneDNN is TensorFlow's switch")
@pytest.mark.skipif("TF_ENABLE_ONEDNN_OPTS" in os.environ, reason="already decided outside")
def test_tensorflow_without_onednn():
    """The same tests again where TensorFlow has no grouped gradient of its own."""
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "auto and not half"]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
