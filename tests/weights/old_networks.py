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
