"""Architectures of ResNeXt as plain data, and their names."""

import re
from dataclasses import dataclass

STAGE_BLOCKS: dict[str, tuple[int, ...]] = {
    "resnext11": (1, 1, 1),
    "resnext20": (2, 2, 2),
    "resnext26": (2, 2, 2, 2),
    "resnext29": (3, 3, 3),
    "resnext50": (3, 4, 6, 3),
    "resnext101": (3, 4, 23, 3),
    "resnext152": (3, 8, 36, 3),
}
"""Blocks per stage by name; the number in a name counts the layers."""

GROUPED_STAGE_BLOCKS: dict[str, tuple[int, ...]] = {"resnext152": (3, 4, 36, 3)}
"""Where they differ with `reduce="grouped"`, as in the PyTorch code these networks are from."""

STEMS: dict[str, tuple[tuple[int, int], ...]] = {
    "cifar": ((3, 64),),
    "imagenet": ((7, 64),),
    "deep": ((3, 32), (3, 32), (3, 64)),
    "deep_tiered": ((3, 24), (3, 32), (3, 64)),
}
"""Kernel size and channels of the convolutions before the first stage."""

_STEMS = {"": "imagenet", "d": "deep", "t": "deep_tiered"}  # by the letter after the depth
_TIMM_NAME = re.compile(r"(?P<se>se)?resnext(?P<depth>\d+)(?P<stem>[dt]?)_(?P<c>\d+)x(?P<d>\d+)d")


@dataclass(frozen=True)
class Architecture:
    """The arguments of `keras_resnext.ResNeXt` that decide which weights fit a network.

    Attributes:
        stage_blocks: number of blocks in each stage.
        cardinality: groups of a block's 3x3 convolution (C in the paper).
        base_width: channels per group at 64 planes (d in the paper).
        stem: `"cifar"`, `"imagenet"`, `"deep"` or `"deep_tiered"`.
        shortcut: `"projection"` or `"average_pool"`.
        squeeze_excitation: whether each block reweights its channels (Hu et al., CVPR 2018).
        reduce: `"dense"`, or `"grouped"` where the first 1x1 convolution of a block is grouped.
    """

    stage_blocks: tuple[int, ...]
    cardinality: int = 32
    base_width: int = 4
    stem: str = "imagenet"
    shortcut: str = "projection"
    squeeze_excitation: bool = False
    reduce: str = "dense"

    def __str__(self) -> str:
        """As people write it, such as `"SE-ResNeXt-50 32x4d, deep stem"`."""
        depth = 3 * sum(self.stage_blocks) + 2
        prefix = "SE-" if self.squeeze_excitation else ""
        parts = [f"{prefix}ResNeXt-{depth} {self.cardinality}x{self.base_width}d"]
        if self.stage_blocks not in STAGE_BLOCKS.values():
            parts.append(f"{'-'.join(map(str, self.stage_blocks))} blocks")
        if self.stem != "imagenet":
            parts.append(f"{'CIFAR' if self.stem == 'cifar' else self.stem} stem")
        if self.shortcut == "average_pool":
            parts.append("average-pooled shortcuts")
        if self.reduce == "grouped":
            parts.append("grouped 1x1 convolutions")
        return ", ".join(parts)


def stage_blocks(name: str, reduce: str = "dense") -> tuple[int, ...]:
    """Return the blocks per stage of a network by name, such as `"resnext50"`."""
    return (GROUPED_STAGE_BLOCKS if reduce == "grouped" else {}).get(name, STAGE_BLOCKS[name])


def from_timm_name(name: str) -> Architecture:
    """Return the architecture that timm's name stands for, such as `"seresnext101d_32x8d"`.

    Raises:
        ValueError: it is not the name of a ResNeXt, or of one with stages of unknown depth.
    """
    match = _TIMM_NAME.fullmatch(name)
    blocks = STAGE_BLOCKS.get(f"resnext{match['depth']}", ()) if match else ()
    if not match or len(blocks) != 4:
        raise ValueError(
            f"architecture {name!r} is not a ResNeXt that keras_resnext builds; expected a name "
            'such as "resnext50_32x4d", "resnext50d_32x4d" or "seresnext101_32x8d"'
        )
    return Architecture(
        blocks,
        cardinality=int(match["c"]),
        base_width=int(match["d"]),
        stem=_STEMS[match["stem"]],
        shortcut="average_pool" if match["stem"] else "projection",
        squeeze_excitation=bool(match["se"]),
    )
