"""JAX's own operations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from keras_resnext.lowering.geometry import Geometry


def convolution(x, kernel, geometry: Geometry):
    """`jax.lax.conv_general_dilated`."""
    layout = "NCHW" if geometry.data_format == "channels_first" else "NHWC"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.strides,
        padding=geometry.padding.upper(),
        rhs_dilation=geometry.dilation,
        dimension_numbers=(layout, "HWIO", layout),
        feature_group_count=geometry.groups,
    )


def normalize(x, gamma, beta, axis: int, epsilon: float):
    """On two dimensions where channels are last: XLA's CPU reduces four dimensions slower."""
    shape = x.shape
    if axis == x.ndim - 1:
        x = x.reshape(-1, shape[-1])
        axes, broadcast = (0,), (1, -1)
    else:
        axes, broadcast = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    wide = x.astype(jnp.float32)
    mean = wide.mean(axes)
    variance = jnp.maximum((wide * wide).mean(axes) - mean * mean, 0.0)
    scale = gamma * jax.lax.rsqrt(variance + epsilon)
    out = wide * scale.reshape(broadcast) + (beta - mean * scale).reshape(broadcast)
    out = out.astype(x.dtype).reshape(shape)
    return out, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance)


def by_device(x, kernel, cpu: Callable, other: Callable):
    """Both ways stay in one traced program; the platform it is lowered for picks."""
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=other)
