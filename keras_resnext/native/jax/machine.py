"""What JAX computes on."""

import os

import jax


def accelerators() -> tuple[str, ...]:
    """Such as "cuda:0"."""
    return tuple(str(device) for device in jax.devices() if device.platform != "cpu")


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    capabilities = [getattr(device, "compute_capability", None) for device in jax.devices()]
    return all(float(found) >= 8 for found in capabilities if found)


def make_deterministic() -> None:
    """XLA reads the flag when it first compiles; on a CPU it is deterministic anyway."""
    flag = "--xla_gpu_deterministic_ops=true"
    if flag not in (flags := os.environ.get("XLA_FLAGS", "")):
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()
