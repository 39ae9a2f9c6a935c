"""What to paste into a bug report: versions, devices, and whether this machine computes right.

Each way to compute a convolution is compared with a slow one, in NumPy and float64.
"""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from keras_resnext import backend
from keras_resnext.backend.lowering import LOWERINGS, Geometry, grouped_conv2d

CASES = {
    "7x7/2 stem": Geometry(3, 64, 1, (7, 7), (2, 2)),
    "1x1": Geometry(64, 128, 1, (1, 1)),
    "grouped 1x1": Geometry(256, 128, 32, (1, 1)),
    "3x3 of 32x4d": Geometry(128, 128, 32, (3, 3)),
    "3x3/2 of 32x4d": Geometry(256, 256, 32, (3, 3), (2, 2), padding="valid"),
    "3x3 of 8x16d": Geometry(128, 128, 8, (3, 3)),
    "3x3, channels first": Geometry(32, 64, 8, (3, 3), data_format="channels_first"),
}
# Of the largest difference, by the largest expected value. In half precision some roundings:
# TensorFlow adds float16 products up in float16. GPUs round the factors of float32 (TF32).
BOUNDS = {"float32": 1e-5, "bfloat16": 2**-6, "float16": 2**-8}
TF32_BOUND = 5e-3
CPU_FLAGS = re.compile(r"avx2|avx512(f|bw|_vnni|_bf16|_fp16)|avx_vnni|amx_\w+|fma|asimd|sve2?|bf16")
VARIABLES = re.compile(
    "CUDA_VISIBLE_DEVICES|GLIBC_TUNABLES|JAX_PLATFORMS|KERAS_BACKEND|NVIDIA_TF32_OVERRIDE|"
    "OMP_NUM_THREADS|ONEDNN_MAX_CPU_ISA|TF_ENABLE_ONEDNN_OPTS|TF_XLA_FLAGS|XLA_FLAGS"
)


def doctor() -> bool:
    """Print versions, devices and precisions, and return whether this machine computes right."""
    for name, value in _facts().items():
        print(f"{name:13} {value}")
    print("\nLargest relative error of outputs and gradients, against NumPy in float64:")
    passed = True
    for name, dtype, error in _checks():
        bound = BOUNDS[dtype]
        if dtype == "float32" and backend.native.accelerators():
            bound = TF32_BOUND
        try:
            found = error()
            right = found < bound  # false for NaN
            result = f"{found:.1e} {'ok' if right else f'WRONG, expected below {bound:.0e}'}"
        except Exception as problem:
            # The backend's own convolution may lack a gradient; "auto" knows that.
            right = not name.startswith(("auto", "batch"))
            reason = " ".join(str(problem).split())[:60]
            result = f"{'not available' if right else 'FAILED'} ({reason})"
        passed &= bool(right)
        print(f"  {name:28} {dtype:9} {result}", flush=True)
    print("\nAll right." if passed else "\nSomething is WRONG on this machine; see above.")
    return passed


def _facts() -> dict[str, str]:
    facts = backend.environment()
    capable = backend.native.computes_bfloat16()
    flags = backend.cpu_info("(?:flags|Features)").split()  # on x86 and on ARM
    known = sorted(flag for flag in flags if CPU_FLAGS.fullmatch(flag))
    settings = (f"{name}={v}" for name, v in os.environ.items() if VARIABLES.fullmatch(name))
    return {
        "backend": facts["backend"],
        "device": facts["device"],
        "accelerators": ", ".join(backend.native.accelerators()) or "none",
        "precisions": f"float32, mixed_float16, mixed_bfloat16{'' if capable else ' (emulated)'}; "
        f"auto is {backend.dtype_policy('auto')}",
        "processor": f"{facts['processor']}, {facts['cores']} cores",
        "CPU flags": " ".join(known) or "unknown",
        "platform": f"{facts['platform']}, Python {facts['python']}",
        "packages": ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
        "variables": " ".join(settings) or "none",
    }


def _checks() -> Iterator[tuple[str, str, Callable[[], float]]]:
    """Names, dtypes, and what computes the errors."""
    for (case, geometry), lowering in product(CASES.items(), LOWERINGS):
        needless = geometry.groups == 1 and lowering in ("packed", "split", "dense")
        unfit = lowering == "matmul" and geometry.kernel_size != (1, 1)
        slow = lowering == "split" and geometry.groups > 8  # JAX compiles it for seconds
        if not (needless or unfit or slow):
            yield f"{lowering}, {case}", "float32", partial(convolution_error, geometry, lowering)
    for name, dtype in product(["1x1", "3x3 of 32x4d"], ["bfloat16", "float16"]):
        yield f"auto, {name}", dtype, partial(convolution_error, CASES[name], "auto", dtype)
    yield "batch normalization", "float32", batch_normalization_error


def convolution_error(
    geometry: Geometry, lowering: str, dtype: str = "float32", size: tuple[int, int] = (9, 8)
) -> float:
    """Return the largest relative error of a convolution and its two gradients.

    The inputs are images of `size`, height and width, of numbers that `dtype` holds exactly.
    """
    rng = np.random.default_rng(0)
    depth = geometry.in_channels // geometry.groups
    x = _rounded(rng.standard_normal((2, *size, geometry.in_channels)), dtype)
    kernel = _rounded(
        rng.standard_normal((*geometry.kernel_size, depth, geometry.out_channels)), dtype
    )
    outputs, gradients = reference_convolution(x, kernel, geometry)
    cotangent = _rounded(rng.standard_normal(outputs.shape), dtype)

    def function(x, kernel):
        x, kernel = ops.cast(x, dtype), ops.cast(kernel, dtype)
        if not geometry.channels_first:
            return grouped_conv2d(x, kernel, geometry, lowering)
        x = ops.transpose(x, (0, 3, 1, 2))
        return ops.transpose(grouped_conv2d(x, kernel, geometry, lowering), (0, 2, 3, 1))

    return _largest_error(function, cotangent, (x, kernel), [outputs, *gradients(cotangent)])


def reference_convolution(x: np.ndarray, kernel: np.ndarray, geometry: Geometry):
    """Convolve by its definition, over all windows at once, in float64.

    Args:
        x: (batch, height, width, in_channels), whatever the data format.
        kernel: (kernel height, kernel width, in_channels / groups, out_channels).
        geometry: of the convolution.

    Returns:
        Outputs, and a function from their cotangent to the gradients of `x` and of `kernel`.
    """
    reach = [(k - 1) * d + 1 for k, d in zip(geometry.kernel_size, geometry.dilation, strict=True)]
    pads = [(0, 0), (0, 0), (0, 0), (0, 0)]
    if geometry.padding == "same":
        for axis, (size, stride) in enumerate(zip(x.shape[1:3], geometry.strides, strict=True)):
            total = max((-(-size // stride) - 1) * stride + reach[axis] - size, 0)
            pads[axis + 1] = total // 2, total - total // 2
    # Of each number in each window, its place in `x`, counted from 1; 0 in the padding.
    places = np.pad(np.arange(1, x.size + 1).reshape(x.shape), pads)
    (down, right), (dy, dx) = geometry.strides, geometry.dilation
    places = sliding_window_view(places, reach, (1, 2))[:, ::down, ::right, :, ::dy, ::dx]
    shape = places.shape[:3]
    places = places.reshape(*shape, geometry.groups, -1, *geometry.kernel_size)
    windows = np.append(0.0, x)[places]
    factors = kernel.reshape(*kernel.shape[:3], geometry.groups, -1)

    def gradients(cotangent):
        cotangent = cotangent.reshape(*shape, geometry.groups, -1)
        of_windows = np.einsum("nhwgo,yxcgo->nhwgcyx", cotangent, factors)
        of_x = np.bincount(places.ravel(), of_windows.ravel(), 1 + x.size)[1:].reshape(x.shape)
        return of_x, np.einsum("nhwgcyx,nhwgo->yxcgo", windows, cotangent).reshape(kernel.shape)

    outputs = np.einsum("nhwgcyx,yxcgo->nhwgo", windows, factors)
    return outputs.reshape(*shape, -1), gradients


def batch_normalization_error() -> float:
    """Return the largest relative error of batch normalization in training and its gradients."""
    rng = np.random.default_rng(0)
    x, cotangent = _rounded(rng.standard_normal((2, 4, 9, 8, 32)) + 1)
    gamma, beta = _rounded(rng.standard_normal((2, 32)) + 2)
    axes, epsilon = (0, 1, 2), 1e-5
    deviation = 1 / np.sqrt(x.var(axes) + epsilon)
    normalized = (x - x.mean(axes)) * deviation
    of_gamma, of_beta = (cotangent * normalized).sum(axes), cotangent.sum(axes)
    count = x.size / x.shape[-1]
    of_x = gamma * deviation * (cotangent - (of_beta + normalized * of_gamma) / count)

    def function(x, gamma, beta):
        return backend.native.batch_normalize(x, gamma, beta, 3, epsilon)[0]

    expected = [normalized * gamma + beta, of_x, of_gamma, of_beta]
    return _largest_error(function, cotangent, (x, gamma, beta), expected)


def _rounded(values: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """As float64 that the dtype holds exactly."""
    tensor = ops.cast(ops.cast(values.astype(np.float32), dtype), "float32")
    return ops.convert_to_numpy(tensor).astype(np.float64)


def _largest_error(function, cotangent, arrays, expected) -> float:
    """Of the function's outputs and gradients, by the largest number in each expected array."""
    run = backend.native.outputs_and_gradients(function)
    tensors = (ops.convert_to_tensor(a.astype(np.float32)) for a in (cotangent, *arrays))
    outputs, gradients = run(*tensors)
    errors = []
    for tensor, wanted in zip((outputs, *gradients), expected, strict=True):
        found = ops.convert_to_numpy(ops.cast(tensor, "float32"))
        assert found.shape == wanted.shape, (found.shape, wanted.shape)
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    return max(errors)
