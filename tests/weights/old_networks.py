"""Small networks in the words of the libraries whose files are read."""

from collections import OrderedDict

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


def lua():
    """github.com/facebookresearch/ResNeXt, as nn.Sequential numbers its modules."""

    class Both(nn.Sequential):
        def forward(self, x):
            return sum(module(x) for module in self)

    def block(channels, inner, out, stride):
        main = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(channels, inner, 1, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
            ),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        projection = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )
        shortcut = nn.Identity() if channels == out else projection
        return nn.Sequential(Both(main, shortcut), nn.Identity(), nn.ReLU())

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 64, 7, 2, 3, bias=False),
                nn.BatchNorm2d(64),
                nn.ReLU(),
                nn.MaxPool2d(3, 2, 1),
                nn.Sequential(block(64, 16, 256, 1), block(256, 16, 256, 1)),
                nn.Sequential(block(256, 32, 512, 2)),
            )
            self.head = nn.Linear(512, CLASSES)

        def forward(self, x):
            return self.head(self.features(x).mean((2, 3)))

    return Network()


def GroupedCifar():
    """github.com/weiaicunzai/pytorch-cifar100, models/resnext.py."""

    class Block(nn.Module):
        def __init__(self, channels, planes, stride):
            super().__init__()
            inner, out = GROUPS * (4 * planes // 64), 4 * planes
            self.split_transforms = nn.Sequential(
                nn.Conv2d(channels, inner, 1, groups=GROUPS, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU(),
                nn.Conv2d(inner, out, 1, bias=False),
                nn.BatchNorm2d(out),
            )
            self.shortcut = nn.Sequential()
            if stride != 1 or channels != out:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            return torch.relu(self.split_transforms(x) + self.shortcut(x))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
            )
            self.conv2 = nn.Sequential(Block(64, 64, 1), Block(256, 64, 1))
            self.conv3 = nn.Sequential(Block(256, 128, 2))
            self.fc = nn.Linear(512, CLASSES)

        def forward(self, x):
            return self.fc(self.conv3(self.conv2(self.conv1(x))).mean((2, 3)))

    return Network()


def _bottleneck(names, channels, inner, out, stride):
    """Convolutions without bias and their normalizations, in the order in which they compute."""
    convs = (
        nn.Conv2d(channels, inner, 1, bias=False),
        nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False),
        nn.Conv2d(inner, out, 1, bias=False),
    )
    norms = (nn.BatchNorm2d(inner), nn.BatchNorm2d(inner), nn.BatchNorm2d(out))
    layers = [layer for pair in zip(convs, norms, strict=True) for layer in pair]
    return dict(zip(names.split(), layers, strict=True))


def _shortcut(names, channels, out, stride):
    if channels == out:
        return nn.Sequential()
    conv = nn.Conv2d(channels, out, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(zip(names.split(), (conv, nn.BatchNorm2d(out)), strict=True)))


class Plain(nn.Module if nn else object):
    """A CIFAR network whose block's six layers and shortcut have names of its library.

    Args:
        stem: names of convolution and normalization.
        stage: name of a stage.
        block: name of a block.
        layers: names in a block.
        shortcut: name of the shortcut, and of its layers.
        head: name of the classifier.
        width: inner width by the block's outputs.
        expansion: outputs of a block by its planes.
    """

    def __init__(
        self, stem, stage, block, layers, shortcut, head, width=lambda out: out // 16, expansion=4
    ):
        super().__init__()
        self.names, self.stages, self.head = (stem.split(), layers.split(), shortcut), [], head
        self.add_module(self.names[0][0], nn.Conv2d(3, 64, 3, 1, 1, bias=False))
        self.add_module(self.names[0][1], nn.BatchNorm2d(64))
        channels = 64
        for number, count in ((1, 2), (2, 1)):
            blocks, out = OrderedDict(), 64 * 2 ** (number - 1) * expansion
            for index in range(count):
                stride = 2 if number > 1 and index == 0 else 1
                one = nn.ModuleDict(_bottleneck(layers, channels, width(out), out, stride))
                name, names = shortcut.split(": ")
                one.add_module(name, _shortcut(names, channels, out, stride))
                blocks[block.format(s=number, b=index)] = one
                channels = out
            self.stages.append(stage.format(s=number))
            self.add_module(self.stages[-1], nn.Sequential(blocks))
        self.add_module(head, nn.Linear(channels, CLASSES))

    def forward(self, x):
        (conv, norm), layers, shortcut = self.names
        x = torch.relu(self.get_submodule(norm)(self.get_submodule(conv)(x)))
        for stage in self.stages:
            for block in self.get_submodule(stage):
                y = x
                for index, name in enumerate(layers):
                    y = block[name](y)
                    y = torch.relu(y) if index in (1, 3) else y
                x = torch.relu(y + block[shortcut.split(":")[0]](x))
        return self.get_submodule(self.head)(x.mean((2, 3)))


_REDUCE = "conv_reduce bn_reduce conv_conv bn conv_expand bn_expand"


def prlz77():
    """prlz77/ResNeXt.pytorch, models/model.py."""
    return Plain("conv_1_3x3 bn_1", "stage_{s}", "stage_{s}_bottleneck_{b}", _REDUCE,
                 "shortcut: shortcut_conv shortcut_bn", "classifier")  # fmt: skip


def bearpaw():
    """bearpaw/pytorch-classification, models/cifar/resnext.py: inner width C * out // 4."""
    return Plain("conv_1_3x3 bn_1", "stage_{s}", "stage_{s}_bottleneck_{b}", _REDUCE,
                 "shortcut: shortcut_conv shortcut_bn", "classifier",
                 lambda out: GROUPS * out // 4)  # fmt: skip


def d_x_y():
    """D-X-Y/ResNeXt-DenseNet, models/resnext.py."""
    return Plain("conv_1_3x3 bn_1", "stage_{s}", "{b}", _REDUCE, "downsample: 0 1", "classifier")


def kuangliu(expansion=4):
    """kuangliu/pytorch-cifar, models/resnet.py; resnext.py has an expansion of 2."""
    return Plain("conv1 bn1", "layer{s}", "{b}", "conv1 bn1 conv2 bn2 conv3 bn3", "shortcut: 0 1",
                 "linear", expansion=expansion)  # fmt: skip
