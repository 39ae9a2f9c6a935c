"""Training on several devices with JAX."""

import os

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from keras_resnext.replicas import Replicas

WHOLE_GRADIENT = True
HEARTBEAT_SECONDS = 30


def start(devices: int, distributed: bool) -> Replicas:
    """`keras.distribution.DataParallel` over the devices of all processes."""
    if distributed:
        _join()
    found = len(jax.local_devices())
    if devices > found:
        raise ValueError(f"devices: expected at most the {found} that JAX sees, got {devices}")
    if devices == jax.process_count() == 1:
        return Replicas()
    chosen = [
        f"{device.platform}:{device.id}"
        for index in range(jax.process_count())
        for device in jax.local_devices(process_index=index)[:devices]
    ]
    # Keras itself shards nothing but a tf.data.Dataset; each process brings its own part.
    distribution = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    return Replicas(len(chosen), jax.process_index(), jax.process_count(), distribution.scope)


def _join() -> None:
    """What `keras.distribution.initialize` does, by the same variables.

    Keras passes on no timeouts. JAX's own let the others wait 100 seconds for a process that died,
    and 300 for one that evaluates when they are done; one that lives is waited for here.
    """
    # It would take SIGTERM for itself, and Python could not put its handler back.
    jax.config.update("jax_enable_preemption_service", False)
    addresses = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    count, index = (
        int(value) if (value := os.environ.get(f"KERAS_DISTRIBUTION_{name}")) else None
        for name in ("NUM_PROCESSES", "PROCESS_ID")
    )
    try:
        jax.distributed.initialize(
            addresses.split(",")[0] if addresses else None,
            count,
            index,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=24 * 60 * 60,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"distributed: JAX found no other processes ({error}). Set "
            "KERAS_DISTRIBUTION_JOB_ADDRESSES (host:port of process 0), "
            "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID in each process"
        ) from error


def synchronise(model: keras.Model) -> None:
    """One program computes the step of all replicas."""


def callbacks() -> list[keras.callbacks.Callback]:
    """None: its metrics are those of the whole batch."""
    return []


def largest(value: float) -> float:
    """In float32."""
    return float(multihost_utils.process_allgather(np.float32(value)).max())


def tells_of_loss(error: Exception) -> bool:
    """Gloo's and NCCL's errors; where they say nothing, a missing heartbeat ends the process."""
    return any(word in str(error) for word in ("Gloo", "NCCL", "coordination service"))
