"""Every lowering against an independent, slow reference."""

import os
import subprocess
import sys
from itertools import product

import keras
import numpy as np
import pytest

from keras_resnext import GroupedConv2D, backend
from keras_resnext.backend.lowering import LOWERINGS, WAYS, Geometry, grouped_conv2d
from keras_resnext.doctor import convolution_error, reference_convolution


def case(groups, kernel=3, strides=1, padding="same", dilation=1, filters=32, first=False):
    pair = lambda n: (n, n)  # noqa: E731
    data_format = "channels_first" if first else "channels_last"
    return Geometry(
        32, filters, groups, pair(kernel), pair(strides), pair(dilation), padding, data_format
    )


GRID = [case(*c) for c in product((1, 2, 8, 32), (1, 3, 5), (1, 2), ("same", "valid"))]
CORNERS = [
    case(8, dilation=2),
    case(32, kernel=5, dilation=2, padding="valid"),
    case(8, first=True),
    case(2, strides=2, padding="valid", first=True),
    case(8, kernel=1, strides=2, first=True),
    case(8, filters=64),  # more outputs than inputs per group
    case(32, kernel=1, filters=64),
    case(1, dilation=2),
]


def skip_unsupported(lowering, geometry, dtype="float32"):
    if lowering == "matmul" and geometry.kernel_size != (1, 1):
        pytest.skip("matmul is for 1x1 kernels")
    if lowering == "native" and backend.NAME == "tensorflow" and geometry.groups > 1:
        import tensorflow as tf

        if backend.native.device(tf.as_dtype(dtype)) == "cpu without grouped gradient":
            pytest.skip(f"TensorFlow has no grouped gradient in {dtype} on this CPU")


def by_loops(x, kernel, geometry):
    """The definition, number by number, for "valid" padding."""
    kh, kw, depth, filters = kernel.shape
    (sv, sh), (dv, dh) = geometry.strides, geometry.dilation
    height, width = ((n - (k - 1) * d - 1) // s + 1
                     for n, k, d, s in zip(x.shape[1:3], (kh, kw), (dv, dh), (sv, sh),
                                           strict=True))  # fmt: skip
    out = np.zeros((len(x), height, width, filters))
    for n, h, w, f, i, j, c in np.ndindex(*out.shape, kh, kw, depth):
        channel = f // (filters // geometry.groups) * depth + c
        out[n, h, w, f] += x[n, h * sv + i * dv, w * sh + j * dh, channel] * kernel[i, j, c, f]
    return out


def test_reference_is_the_definition():
    """Its outputs by loops; a linear function's gradients by the outputs."""
    rng = np.random.default_rng(0)
    geometry = Geometry(4, 6, 2, (3, 2), (2, 1), (1, 2), "valid")
    x, kernel = rng.standard_normal((2, 6, 5, 4)), rng.standard_normal((3, 2, 2, 6))
    out, gradients = reference_convolution(x, kernel, geometry)
    np.testing.assert_allclose(out, by_loops(x, kernel, geometry), atol=1e-12)
    cotangent = rng.standard_normal(out.shape)
    of_x, of_kernel = gradients(cotangent)
    dx, dk = rng.standard_normal(x.shape), rng.standard_normal(kernel.shape)
    for gradient, change, changed in (
        (of_x, dx, by_loops(dx, kernel, geometry)),
        (of_kernel, dk, by_loops(x, dk, geometry)),
    ):
        np.testing.assert_allclose((gradient * change).sum(), (cotangent * changed).sum())


@pytest.mark.parametrize("geometry", GRID[::3] + CORNERS, ids=str)
def test_auto_equals_reference(geometry):
    assert convolution_error(geometry, "auto", size=(11, 10)) < 1e-5


@pytest.mark.parametrize("lowering", WAYS)
@pytest.mark.parametrize("geometry", GRID[13:40:11] + CORNERS[::2], ids=str)
def test_each_lowering_equals_reference(lowering, geometry):
    skip_unsupported(lowering, geometry)
    if lowering == "split" and geometry.groups == 32:
        pytest.skip("JAX compiles 32 convolutions for seconds")
    assert convolution_error(geometry, lowering, size=(11, 10)) < 1e-5


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 2**-6), ("float16", 2**-8)])
def test_half_precision(lowering, dtype, bound):
    """A few roundings: TensorFlow adds float16 products up in float16."""
    geometry = case(8, kernel=1 if lowering == "matmul" else 3)
    skip_unsupported(lowering, geometry, dtype)
    assert convolution_error(geometry, lowering, dtype) < bound


@pytest.mark.parametrize("filters", [16, 48])
def test_dense_matmul_in_bfloat16(filters):
    """The gradient transposes the narrower of images and cotangent."""
    assert convolution_error(case(1, 1, filters=filters), "matmul", "bfloat16") < 2**-6


@pytest.mark.skipif(backend.NAME != "jax", reason="the HLO is JAX's")
@pytest.mark.skipif("amx_bf16" not in backend.cpu_info("flags"), reason="the processor lacks AMX")
@pytest.mark.parametrize("filters", [64, 256])
def test_jax_multiplies_bfloat16_as_it_is(filters):
    """By YNNPACK, within a network's step; XLA by itself converts all to float32."""
    import jax

    def loss(x, kernel):
        out = jax.nn.relu(backend.native.matmul(jax.nn.relu(x), kernel))
        return (out**2).sum()

    x, kernel = jax.numpy.ones((512, 128), "bfloat16"), jax.numpy.ones((128, filters), "bfloat16")
    program = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile().as_text()
    products = [part for part in program.split("\n\n") if " dot(" in part]
    operands = [line for part in products for line in part.splitlines() if " parameter(" in line]
    assert len(products) == 3
    assert len(operands) == sum(" = bf16[" in line for line in operands) == 6


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_unknown_batch_and_size(lowering):
    """A layer built without sizes takes any, compiled once."""
    kernel = 1 if lowering == "matmul" else 3
    geometry = Geometry(16, 16, 4, (kernel, kernel), (2, 2))
    skip_unsupported(lowering, geometry)
    layer = GroupedConv2D(16, kernel, strides=2, padding="same", groups=4, lowering=lowering)
    inputs = keras.Input((None, None, 16))
    model = keras.Model(inputs, layer(inputs))
    for shape in ((1, 5, 8, 16), (2, 6, 3, 16)):
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        expected, _ = reference_convolution(x, layer.get_weights()[0], geometry)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(backend.NAME != "jax", reason="jax.export is JAX's")
def test_one_exported_program_holds_both_platforms():
    import jax
    from jax import export

    geometry = Geometry(16, 16, 4, (3, 3))
    batch = export.symbolic_shape("b")
    exported = export.export(
        jax.jit(lambda x, k: grouped_conv2d(x, k, geometry)), platforms=("cpu", "cuda")
    )(
        jax.ShapeDtypeStruct((*batch, 8, 8, 16), np.float32),
        jax.ShapeDtypeStruct((3, 3, 4, 16), np.float32),
    )
    assert "feature_group_count = 4" in str(exported.mlir_module())  # the GPU's
    assert "feature_group_count = 1" in str(exported.mlir_module())  # the CPU's
    x = np.ones((3, 8, 8, 16), np.float32)
    assert exported.call(x, np.ones((3, 3, 4, 16), np.float32)).shape == (3, 8, 8, 16)


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="oneDNN is TensorFlow's switch")
@pytest.mark.skipif("TF_ENABLE_ONEDNN_OPTS" in os.environ, reason="already decided outside")
def test_tensorflow_without_onednn():
    """The same tests again where TensorFlow has no grouped gradient of its own."""
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "auto_equals"]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
