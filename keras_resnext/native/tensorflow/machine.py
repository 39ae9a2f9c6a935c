"""What TensorFlow computes on."""

import tensorflow as tf


def accelerators() -> tuple[str, ...]:
    """Such as "/physical_device:GPU:0"."""
    return tuple(device.name for kind in ("GPU", "TPU") for device in _of(kind))


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in _of("GPU")]
    return all(found.get("compute_capability", (8, 0)) >= (8, 0) for found in details)


def make_deterministic() -> None:
    """Operations that cannot be raise an error."""
    tf.config.experimental.enable_op_determinism()


def _of(kind):
    return tf.config.list_physical_devices(kind)
