"""Training on several devices with TensorFlow."""

import json
import os

import keras
import tensorflow as tf

from keras_resnext.replicas import Replicas

WHOLE_GRADIENT = False  # Keras adds gradients up as the very last thing


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


def synchronise(model: keras.Model) -> None:
    """The strategy sums gradients, and Keras divides the loss by the replicas."""


def callbacks() -> list[keras.callbacks.Callback]:
    """None: its metrics are those of the whole batch."""
    return []


def largest(value: float) -> float:
    """The one process's."""
    return value


def tells_of_loss(error: Exception) -> bool:
    """There is no other process."""
    return False
