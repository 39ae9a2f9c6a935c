"""What a run ran on."""

import importlib.metadata
import os
import platform

import keras

PACKAGES = (
    "keras-resnext",
    "keras",
    "numpy",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "jaxlib",
    "torch",
)


def environment() -> dict:
    """Versions, backend and device, as JSON can hold them."""
    return {
        "backend": keras.config.backend(),
        "device": device(),
        "image_data_format": keras.config.image_data_format(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "packages": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of those of `PACKAGES` that are installed."""
    return {package: found for package in PACKAGES if (found := _version(package))}


def device() -> str:
    """Where the backend computes by default, in its own words: "cuda:0", "TFRT_CPU_0" ..."""
    # Tensors of all three backends have this attribute; keras.distribution knows no torch.
    return str(keras.ops.zeros(()).device)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
