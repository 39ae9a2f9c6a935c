"""JAX's own operations."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import keras

from keras_resnext.lowering.geometry import Geometry

DEVICES: tuple[str, ...] = ("cpu", "gpu")


def convolution(x, kernel, geometry: Geometry):
    """`jax.lax.conv_general_dilated`."""
    layout = "NCHW" if geometry.channels_first else "NHWC"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.strides,
        padding=geometry.padding.upper(),
        rhs_dilation=geometry.dilation,
        dimension_numbers=(layout, "HWIO", layout),
        feature_group_count=geometry.groups,
    )


def by_device(x, kernel, ways: Mapping[str, Callable]):
    """Both ways stay in one traced program; the platform it is lowered for picks."""
    return jax.lax.platform_dependent(x, kernel, cpu=ways["cpu"], default=ways["gpu"])


def batch_normalize(x, gamma, beta, axis: int, epsilon: float, synchronized: bool = False):
    """One program computes all replicas, so their statistics are the whole batch's by nature.

    Replica by replica is what has to be told apart, by an axis of its own, along which the batch
    is spread over the devices.
    """
    distribution = keras.distribution.distribution()
    if synchronized or distribution is None:
        return _batch_normalize(x, gamma, beta, axis, epsilon)
    parts = x.reshape(distribution.num_model_replicas, -1, *x.shape[1:])
    out, mean, unbiased = jax.vmap(lambda part: _batch_normalize(part, gamma, beta, axis, epsilon))(
        parts
    )
    return out.reshape(x.shape), mean.mean(0), unbiased.mean(0)


def _batch_normalize(x, gamma, beta, axis: int, epsilon: float):
    """On two dimensions where channels are last: XLA's CPU reduces four dimensions slower."""
    shape = x.shape
    if axis == x.ndim - 1:
        x = x.reshape(-1, shape[-1])
        axes: tuple[int, ...] = (0,)
    else:
        axes = (0, *range(2, x.ndim))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = wide.mean(axes, keepdims=True)
    variance = jnp.square(wide - mean).mean(axes, keepdims=True)
    parameters = (1, -1) + (1,) * (len(axes) - 1)
    scale = gamma.reshape(parameters) * jax.lax.rsqrt(variance + epsilon)
    out = (wide - mean) * scale + beta.reshape(parameters)
    count = x.size // shape[axis]
    unbiased = variance * (count / max(count - 1, 1))
    return (
        out.astype(x.dtype).reshape(shape),
        jax.lax.stop_gradient(mean.reshape(-1)),
        jax.lax.stop_gradient(unbiased.reshape(-1)),
    )
