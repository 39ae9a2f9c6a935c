"""Networks of timm's, on the device that holds no values."""

from tests.peers import load_peers


def timm_network(architecture: str):
    """One of them, or skip the test."""
    timm, _ = load_peers()
    import torch

    # For this one timm has no entry point.
    own = architecture != "resnext101_32x48d"
    name, arguments = (architecture, {}) if own else ("resnext101_32x4d", {"base_width": 48})
    with torch.device("meta"):
        return timm.create_model(name, **arguments).eval()


def timm_multiply_adds(architecture: str, size: int) -> int:
    """Those of its modules, as they compute one image."""
    network, counted = timm_network(architecture), []
    import torch

    def count(module, inputs, output):
        if hasattr(module, "weight") and module.weight.ndim > 1:
            counted.append(output.numel() * module.weight[0].numel())

    with torch.nn.modules.module.register_module_forward_hook(count):
        network(torch.empty(1, 3, size, size, device="meta"))
    return sum(counted)
