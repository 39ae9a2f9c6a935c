"""What tells one ResNeXt from another, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """The arguments of `keras_resnext.ResNeXt` that decide which weights fit a network.

    Attributes:
        stage_blocks: number of blocks in each stage.
        cardinality: groups of a block's 3x3 convolution (C).
        base_width: channels a group at 64 planes (d).
        stem: `"cifar"`, `"imagenet"`, `"deep"` or `"deep_tiered"`.
        shortcut: `"projection"` or `"average_pool"`.
        squeeze_excitation: whether each block weighs its channels (Hu et al., CVPR 2018).
        reduce: `"dense"`, or `"grouped"` where the first 1x1 convolution of a block is grouped.
    """

    stage_blocks: tuple[int, ...]
    cardinality: int = 32
    base_width: int = 4
    stem: str = "imagenet"
    shortcut: str = "projection"
    squeeze_excitation: bool = False
    reduce: str = "dense"
