"""The networks of torchvision and timm that ours are compared with, their weights random."""

from collections.abc import Callable

import numpy as np
import torch

from tests.peers import load_peers

timm, torchvision = load_peers()
from timm.models.resnet import Bottleneck, ResNet  # noqa: E402

TIMM = (
    "resnext50_32x4d",
    "resnext50d_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_32x16d",
    "resnext101_64x4d",
    "seresnext26d_32x4d",
    "seresnext26t_32x4d",
    "seresnext50_32x4d",
    "seresnext101_32x4d",
    "seresnext101_32x8d",
    "seresnext101d_32x8d",
    "seresnext101_64x4d",
)
TORCHVISION = ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d")


def _by_hand(layers: tuple[int, ...], base_width: int) -> torch.nn.Module:
    """A network that neither library has a name for, of timm's parts."""
    return ResNet(Bottleneck, layers, cardinality=32, base_width=base_width)


PEERS: dict[str, Callable[[], torch.nn.Module]] = {
    **{f"timm {name}": lambda name=name: timm.create_model(name) for name in TIMM},
    **{
        f"torchvision {name}": lambda name=name: getattr(torchvision.models, name)()
        for name in TORCHVISION
    },
    "timm resnext152_32x4d": lambda: _by_hand((3, 8, 36, 3), 4),
    "timm resnext101_32x32d": lambda: timm.create_model("resnext101_32x32d"),
    "timm resnext101_32x48d": lambda: _by_hand((3, 4, 23, 3), 48),
}


def small(**arguments) -> torch.nn.Module:
    """A timm network with two blocks in the second stage and one in the others."""
    return ResNet(Bottleneck, (1, 2, 1, 1), num_classes=10, **arguments)


def randomize(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give a network weights and statistics that leave nothing at zero or one, for inference.

    The last normalisation of a block is kept small, so that activations grow little over 50 blocks.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                last = name.endswith("bn3")
                uniform(module.weight, 0.1 if last else 0.5, 0.3 if last else 1.5)
                uniform(module.bias, -0.2, 0.2)
                uniform(module.running_mean, -0.2, 0.2)
                uniform(module.running_var, 0.5, 1.5)
            elif isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                bound = (6 / module.weight[0].numel()) ** 0.5
                uniform(module.weight, -bound, bound)
                if module.bias is not None:
                    uniform(module.bias, -0.2, 0.2)
    return network.eval()


def state_dict(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Its weights as NumPy arrays."""
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def results(
    network: torch.nn.Module, images: np.ndarray, cotangent: np.ndarray
) -> dict[str, np.ndarray]:
    """What a network makes of images.

    Args:
        network: for inference.
        images: float32 (batch, height, width, channels).
        cotangent: float32 (batch, classes).

    Returns:
        "stage 1" to "stage 4", channels last; "logits"; and "input gradient" of the sum of
        `logits * cotangent`, channels last.
    """
    found: dict[str, np.ndarray] = {}

    def keep(name):
        return lambda module, inputs, output: found.update({name: _channels_last(output)})

    hooks = [
        getattr(network, f"layer{stage}").register_forward_hook(keep(f"stage {stage}"))
        for stage in range(1, 5)
    ]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).requires_grad_()
    logits = network(tensor)
    logits.backward(torch.from_numpy(cotangent), inputs=[tensor])
    for hook in hooks:
        hook.remove()
    return found | {
        "logits": logits.detach().numpy(),
        "input gradient": _channels_last(tensor.grad),
    }


def _channels_last(tensor):
    return tensor.detach().permute(0, 2, 3, 1).numpy()
