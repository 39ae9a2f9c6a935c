"""Small networks in the words of the libraries whose files are read."""

try:
    import torch
    from torch import nn
except ImportError:  # the tests that need it skip
    torch = nn = None

GROUPS, CLASSES = 4, 5


def randomize(network):
    """Statistics away from 0 and 1; for inference."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    return network.eval()


class Written(nn.Module if nn else object):
    """A ResNeXt of two stages, its modules at the places that a library has them.

    A block's `parts` are three convolutions, each with its normalization, and the shortcut's; its
    prefix counts stages and their blocks. `width` gives the inner channels by the outer ones.
    """

    def __init__(
        self,
        stem,
        block,
        parts,
        head,
        first_stage=1,
        width=lambda out: out // 16,
        expansion=4,
        reduce_groups=1,
        large=False,
    ):
        super().__init__()
        self.names, self.large, self.blocks = (stem.split(), head), large, []
        kernel, stride = (7, 2) if large else (3, 1)
        conv = nn.Conv2d(3, 64, kernel, stride, kernel // 2, bias=False)
        self.put(stem.split(), [conv, nn.BatchNorm2d(64)])
        channels = 64
        for stage, index in ((0, 0), (0, 1), (1, 0)):
            out = 64 * 2**stage * expansion
            inner, stride = width(out), stage + 1
            convs = [
                nn.Conv2d(channels, inner, 1, groups=reduce_groups, bias=False),
                nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False),
                nn.Conv2d(inner, out, 1, bias=False),
            ]
            if channels != out:
                convs.append(nn.Conv2d(channels, out, 1, stride, bias=False))
            names = [block.format(s=first_stage + stage, b=index) + name for name in parts.split()]
            self.blocks.append(names[: 2 * len(convs)])
            pairs = ((conv, nn.BatchNorm2d(conv.out_channels)) for conv in convs)
            self.put(self.blocks[-1], [module for pair in pairs for module in pair])
            channels = out
        self.put([head], [nn.Linear(channels, CLASSES)])

    def put(self, names, modules):
        for name, module in zip(names, modules, strict=True):
            *parents, last = name.split(".")
            place = self
            for parent in parents:
                place = place._modules.setdefault(parent, nn.Module())
            place.add_module(last, module)

    def forward(self, x):
        conv, norm = map(self.get_submodule, self.names[0])
        x = torch.relu(norm(conv(x)))
        x = nn.functional.max_pool2d(x, 3, 2, 1) if self.large else x
        for names in self.blocks:
            conv1, norm1, conv2, norm2, conv3, norm3, *shortcut = map(self.get_submodule, names)
            y = torch.relu(norm2(conv2(torch.relu(norm1(conv1(x))))))
            for module in shortcut:
                x = module(x)
            x = torch.relu(norm3(conv3(y)) + x)
        return self.get_submodule(self.names[1])(x.mean((2, 3)))


def kuangliu(expansion=4):
    """kuangliu/pytorch-cifar, models/resnet.py; in resnext.py blocks widen by 2."""
    parts = "conv1 bn1 conv2 bn2 conv3 bn3 shortcut.0 shortcut.1"
    return Written("conv1 bn1", "layer{s}.{b}.", parts, "linear", expansion=expansion)


def _prlz77(**arguments):
    parts = "conv_reduce bn_reduce conv_conv bn conv_expand bn_expand shortcut.shortcut_conv "
    block = "stage_{s}.stage_{s}_bottleneck_{b}."
    parts += "shortcut.shortcut_bn"
    return Written("conv_1_3x3 bn_1", block, parts, "classifier", **arguments)


def _lua(prefix, head):
    parts = "0.0.0.0 0.0.0.1 0.0.0.3 0.0.0.4 0.0.1 0.0.2 0.1.0 0.1.1"
    stem, block = f"{prefix}0 {prefix}1", f"{prefix}{{s}}.{{b}}."
    return Written(stem, block, parts, head, first_stage=4, large=True)


NETWORKS = {
    "kuangliu": kuangliu,
    # prlz77/ResNeXt.pytorch, models/model.py.
    "prlz77": _prlz77,
    # bearpaw/pytorch-classification, models/cifar/resnext.py.
    "prlz77, bearpaw": lambda: _prlz77(width=lambda out: GROUPS * out // 4),
    # D-X-Y/ResNeXt-DenseNet, models/resnext.py.
    "d-x-y": lambda: Written(
        "conv_1_3x3 bn_1",
        "stage_{s}.{b}.",
        "conv_reduce bn_reduce conv_conv bn conv_expand bn_expand downsample.0 downsample.1",
        "classifier",
    ),
    # weiaicunzai/pytorch-cifar100, models/resnext.py.
    "weiaicunzai": lambda: Written(
        "conv1.0 conv1.1",
        "conv{s}.{b}.",
        " ".join(f"split_transforms.{index}" for index in (0, 1, 3, 4, 6, 7))
        + " shortcut.0 shortcut.1",
        "fc",
        first_stage=2,
        reduce_groups=GROUPS,
    ),
    # open-mmlab/mmpretrain, mmpretrain/models/backbones/resnext.py and heads/linear_head.py.
    "mmpretrain": lambda: Written(
        "backbone.conv1 backbone.bn1",
        "backbone.layer{s}.{b}.",
        "conv1 bn1 conv2 bn2 conv3 bn3 downsample.0 downsample.1",
        "head.fc",
        large=True,
    ),
    # facebookresearch/detectron2, detectron2/modeling/backbone/resnet.py.
    "detectron2": lambda: Written(
        "stem.conv1 stem.conv1.norm",
        "res{s}.{b}.",
        "conv1 conv1.norm conv2 conv2.norm conv3 conv3.norm shortcut shortcut.norm",
        "linear",
        first_stage=2,
        large=True,
    ),
    # facebookresearch/ResNeXt (Lua), as converters number its modules.
    "lua": lambda: _lua("features.", "last_linear"),
    "lua, without names": lambda: _lua("", "10.1"),
}
