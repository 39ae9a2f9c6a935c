"""TensorFlow's own operations, devices and replicas; see `keras_resnext.backend`."""

import json
import os
from collections.abc import Callable, Mapping
from functools import cache

import keras
import tensorflow as tf

from keras_resnext.backend import Replicas
from keras_resnext.backend.lowering import Geometry

DEVICES: tuple[str, ...] = ("cpu", "cpu without grouped gradient", "gpu")


def convolution(x, kernel, geometry: Geometry):
    """`tf.nn.convolution`: Keras compiles it with XLA when grouped, hundreds of times slower."""
    transposed = geometry.channels_first and device(x.dtype) == "cpu without grouped gradient"
    if transposed:  # it has no gradient of channels first either
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


matmul = tf.matmul


def by_device(x, kernel, ways: Mapping[str, Callable]):
    """A graph is traced before it is placed, so a GPU that can be seen decides."""
    return ways[device(x.dtype)](x, kernel)


@cache
def device(dtype: tf.DType) -> str:
    """The kind of device that computes in `dtype`.

    On a CPU only oneDNN has the gradient of a grouped convolution: not in float16 on most
    processors, and not where TF_ENABLE_ONEDNN_OPTS=0 or the build leaves oneDNN out.
    """
    if tf.config.list_physical_devices("GPU"):
        return "gpu"
    with tf.init_scope():
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=(1, 3, 3, 4),
                filter=tf.ones((3, 3, 2, 4), dtype),
                out_backprop=tf.ones((1, 3, 3, 4), dtype),
                strides=(1, 1, 1, 1),
                padding="SAME",
            )
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return "cpu without grouped gradient"
    return "cpu"


normalize = None  # compilers fuse Keras' own


def batch_normalize(x, gamma, beta, axis: int, epsilon: float, synchronized: bool = False):
    """Replica by replica, unless synchronized; the statistics given are the mean of theirs.

    Else each replica's copy of the moving statistics would go its own way.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return _batch_normalize(x, gamma, beta, axis, epsilon)
    if synchronized:
        return _batch_normalize_in_steps(x, gamma, beta, axis, epsilon, replica)
    out, *statistics = _batch_normalize(x, gamma, beta, axis, epsilon)
    return out, *replica.all_reduce(tf.distribute.ReduceOp.MEAN, statistics)


def _batch_normalize(x, gamma, beta, axis: int, epsilon: float):
    """The fused operation: half the time of Keras' elementwise steps on a CPU.

    Called raw, because the public wrapper raises epsilon to cuDNN's former minimum.
    """
    first = axis != len(x.shape) - 1
    if x.dtype == tf.float64 or (first and device(x.dtype) != "gpu"):  # there it is not fused
        return _batch_normalize_in_steps(x, gamma, beta, axis, epsilon)
    out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=tf.constant([], tf.float32),
        variance=tf.constant([], tf.float32),
        epsilon=epsilon,
        data_format="NCHW" if first else "NHWC",
        is_training=True,
    )
    return out, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _batch_normalize_in_steps(x, gamma, beta, axis: int, epsilon: float, replica=None):
    """By the statistics of all replicas, where given; their parts of the batch are of one size.

    Keras' own synchronized statistics are the mean square less the squared mean, which cancels.
    """

    def average(value):
        value = tf.reduce_mean(value, others, keepdims=True)
        return replica.all_reduce(tf.distribute.ReduceOp.MEAN, value) if replica else value

    others = [a for a in range(len(x.shape)) if a != axis]
    wide = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
    mean = average(wide)
    # Through the mean it has no gradient: deviations from it add up to nothing.
    variance = average(tf.math.squared_difference(wide, tf.stop_gradient(mean)))
    beta, gamma = tf.reshape(beta, tf.shape(mean)), tf.reshape(gamma, tf.shape(mean))
    out = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon)
    shape = tf.shape(x)
    replicas = replica.num_replicas_in_sync if replica else 1
    count = tf.cast(tf.size(x) // shape[axis] * replicas, wide.dtype)
    unbiased = variance * count / tf.maximum(count - 1, 1)
    statistics = (tf.stop_gradient(tf.reshape(s, [-1])) for s in (mean, unbiased))
    return tf.cast(out, x.dtype), *statistics


def run_lean(model: keras.Model) -> None:
    """Compiled programs do."""


def recompute(function: Callable):
    """By a gradient that calls the function."""
    return tf.recompute_grad(function)


def outputs_and_gradients(function: Callable):
    """Eagerly, by a tape."""

    def run(cotangent, *tensors):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            outputs = function(*tensors)
        return outputs, tape.gradient(outputs, list(tensors), tf.cast(cotangent, outputs.dtype))

    return run


def begin_command() -> None:
    """Its runtime starts, and announces itself, with the first operation."""
    tf.zeros(1)


def accelerators() -> tuple[str, ...]:
    """Such as "GPU:0"."""
    return tuple(
        device.name.rpartition("device:")[2] for kind in ("GPU", "TPU") for device in _of(kind)
    )


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in _of("GPU")]
    return all(found.get("compute_capability", (8, 0)) >= (8, 0) for found in details)


def make_deterministic() -> None:
    """Operations that cannot be raise an error."""
    tf.config.experimental.enable_op_determinism()


def _of(kind):
    return tf.config.list_physical_devices(kind)


WHOLE_GRADIENT = False  # Keras adds gradients up as the very last thing
CPU_BFLOAT16 = frozenset(("avx512_bf16", "amx_bf16"))


def start(devices: int, distributed: bool) -> Replicas:
    """`tf.distribute.MirroredStrategy` over local devices."""
    if distributed or _workers() > 1:
        raise ValueError(
            "distributed: Keras 3 does not train in several processes on TensorFlow "
            "(github.com/keras-team/keras/issues/20585). Use --devices on one host (and unset "
            "TF_CONFIG), or KERAS_BACKEND=jax or torch"
        )
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if devices > len(found):
        raise ValueError(
            f"devices: expected at most the {len(found)} that TensorFlow sees, got {devices}"
        )
    if devices == 1:
        return Replicas()
    strategy = tf.distribute.MirroredStrategy([device.name for device in found[:devices]])
    return Replicas(devices, scope=strategy.scope)


def _workers() -> int:
    """How many processes TF_CONFIG asks for."""
    return len(json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {}).get("worker", ()))


def synchronize(model: keras.Model) -> None:
    """The strategy sums gradients, and Keras divides the loss by the replicas."""


def callbacks() -> list[keras.callbacks.Callback]:
    """None: its metrics are those of the whole batch."""
    return []


def largest(value: float) -> float:
    """The one process's."""
    return value


def is_lost_process(error: Exception) -> bool:
    """There is no other process."""
    return False
