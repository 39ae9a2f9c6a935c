"""What PyTorch computes on."""

import os

import torch


def accelerators() -> tuple[str, ...]:
    """Such as "cuda:0"."""
    found = torch.accelerator.current_accelerator()
    if found is None:
        return ()
    return tuple(f"{found.type}:{index}" for index in range(torch.accelerator.device_count()))


def computes_bfloat16() -> bool:
    """From NVIDIA's compute capability 8 on."""
    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def make_deterministic() -> None:
    """Operations that cannot be raise an error. cuBLAS asks for a workspace of a fixed size."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
