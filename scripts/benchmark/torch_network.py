"""The same network in plain PyTorch, as torchvision and the original code write it."""

from torch import nn


class Bottleneck(nn.Module):
    """Form (c) of the block; see `keras_resnext.blocks`."""

    def __init__(self, in_channels, planes, stride, cardinality, base_width, grouped_reduce):
        super().__init__()
        width = planes * base_width // 64 * cardinality
        out_channels = planes * 4
        reduce_groups = cardinality if grouped_reduce else 1
        self.conv1 = nn.Conv2d(in_channels, width, 1, groups=reduce_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        """Map (batch, in_channels, height, width) to (batch, 4 * planes, ...)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNeXt(nn.Module):
    """`keras_resnext.ResNeXt` from (batch, 3, height, width) to logits.

    It has the CIFAR stem, or, if large, ImageNet's: torchvision's `resnext50_32x4d` for blocks
    (3, 4, 6, 3) and 1000 classes.
    """

    def __init__(
        self,
        stage_blocks,
        cardinality=32,
        base_width=4,
        grouped_reduce=False,
        classes=100,
        large=False,
    ):
        super().__init__()
        stem = (
            nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            if large
            else nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        )
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        if large:
            self.stem.append(nn.MaxPool2d(3, 2, 1))
        channels, blocks = 64, []
        for stage, count in enumerate(stage_blocks):
            for index in range(count):
                planes, stride = 64 * 2**stage, 2 if stage and not index else 1
                block = Bottleneck(
                    channels, planes, stride, cardinality, base_width, grouped_reduce
                )
                blocks.append(block)
                channels = planes * 4
        self.blocks = nn.Sequential(*blocks)
        self.predictions = nn.Linear(channels, classes)

    def forward(self, x):
        """Return the logits (batch, classes)."""
        return self.predictions(self.blocks(self.stem(x)).mean((2, 3)))
