"""TensorFlow's own operations."""

from collections.abc import Callable
from functools import cache

import tensorflow as tf

from keras_resnext.lowering.geometry import Geometry

DEVICES = ("cpu", "cpu without oneDNN", "gpu")


def convolution(x, kernel, geometry: Geometry):
    """`tf.nn.convolution`: Keras compiles it with XLA when grouped, hundreds of times slower."""
    transposed = geometry.channels_first and _device() == "cpu without oneDNN"
    if transposed:  # that CPU knows no channels first at all
        x = tf.transpose(x, (0, 2, 3, 1))
    out = tf.nn.convolution(
        x,
        kernel,
        strides=geometry.strides,
        padding=geometry.padding.upper(),
        data_format="NCHW" if geometry.channels_first and not transposed else "NHWC",
        dilations=geometry.dilation,
    )
    return tf.transpose(out, (0, 3, 1, 2)) if transposed else out


def by_device(x, kernel, ways: dict[str, Callable]):
    """A graph is traced before it is placed, so a GPU that can be seen decides."""
    return ways[_device()](x, kernel)


@cache
def _device() -> str:
    if tf.config.list_physical_devices("GPU"):
        return "gpu"
    return "cpu" if _has_grouped_gradient() else "cpu without oneDNN"


def _has_grouped_gradient() -> bool:
    """Only oneDNN has it on a CPU; TF_ENABLE_ONEDNN_OPTS=0 and some builds are without."""
    with tf.init_scope():
        kernel = tf.ones((1, 1, 1, 2))
        try:
            with tf.GradientTape() as tape:
                tape.watch(kernel)
                out = tf.nn.convolution(tf.ones((1, 1, 1, 2)), kernel)
            tape.gradient(out, kernel)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def batch_normalize(x, gamma, beta, axis: int, epsilon: float):
    """The fused operation: half the time of Keras' elementwise steps on a CPU.

    Called raw, because the public wrapper raises epsilon to cuDNN's former minimum.
    """
    first = axis != len(x.shape) - 1
    transposed = first and _device() != "gpu"  # the CPU's takes channels last only
    if transposed:
        x = tf.transpose(x, (0, 2, 3, 1))
    out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=tf.constant([], tf.float32),
        variance=tf.constant([], tf.float32),
        epsilon=epsilon,
        data_format="NCHW" if first and not transposed else "NHWC",
        is_training=True,
    )
    if transposed:
        out = tf.transpose(out, (0, 3, 1, 2))
    return out, tf.stop_gradient(mean), tf.stop_gradient(variance)
