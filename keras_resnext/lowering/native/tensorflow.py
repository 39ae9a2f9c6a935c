"""TensorFlow's own operations."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnext.lowering.geometry import Geometry


def convolution(x, kernel, geometry: Geometry):
    """`tf.nn.convolution`: Keras compiles it with XLA when grouped, hundreds of times slower."""
    first = geometry.data_format == "channels_first"
    return tf.nn.convolution(
        x,
        kernel,
        strides=geometry.strides,
        padding=geometry.padding.upper(),
        data_format="NCHW" if first else "NHWC",
        dilations=geometry.dilation,
    )


def normalize(x, gamma, beta, axis: int, epsilon: float):
    """`fused_batch_norm`: half the time of Keras' moments and elementwise steps on a CPU."""
    first = axis != x.shape.rank - 1
    out, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, data_format="NCHW" if first else "NHWC"
    )
    shape = tf.shape(x)
    count = tf.cast(tf.size(x) // shape[axis], unbiased.dtype)
    biased = unbiased * (count - 1) / count
    return out, tf.stop_gradient(mean), tf.stop_gradient(biased)


def by_device(x, kernel, cpu: Callable, other: Callable):
    """A graph is traced before it is placed, so a GPU that can be seen decides."""
    return (other if tf.config.list_logical_devices("GPU") else cpu)(x, kernel)
