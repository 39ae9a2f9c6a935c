"""The weights of a network's layers, apart from the network."""

from dataclasses import dataclass

import numpy as np

from keras_resnext.architecture import Architecture
from keras_resnext.blocks import STEM_CHANNELS

HEAD = "predictions"


@dataclass(frozen=True)
class LayerWeights:
    """What a file holds, by the names and in the layout of our layers.

    Attributes:
        arrays: the weights of each layer, blocks in form (c), in the order of
            `keras.Layer.get_weights`.
        shortcut: kind of shortcut, which the weights themselves do not tell.
    """

    arrays: dict[str, list[np.ndarray]]
    shortcut: str = "projection"

    @property
    def classes(self) -> int | None:
        """Outputs of the classifier; None without one."""
        return self.arrays[HEAD][0].shape[-1] if HEAD in self.arrays else None

    def architecture(self) -> Architecture | None:
        """The network that the shapes are those of; None: of none."""
        try:
            return self._architecture()
        except (KeyError, ZeroDivisionError):
            return None

    def _architecture(self) -> Architecture:
        blocks: dict[int, int] = {}
        for name in self.arrays:
            if name.endswith("_conv3") and name.startswith("stage"):
                stage = int(name.split("_")[0].removeprefix("stage"))
                blocks[stage] = blocks.get(stage, 0) + 1
        first = "stage1_block1"
        group_width, inner_width = self.arrays[f"{first}_conv2"][0].shape[-2:]
        return Architecture(
            stage_blocks=tuple(blocks[stage] for stage in sorted(blocks)),
            cardinality=inner_width // group_width,
            base_width=group_width,
            stem=self._stem(),
            shortcut=self.shortcut,
            squeeze_excitation=f"{first}_se_conv1" in self.arrays,
            reduce=(
                "dense"
                if self.arrays[f"{first}_conv1"][0].shape[-2] == STEM_CHANNELS
                else "grouped"
            ),
        )

    def _stem(self) -> str:
        if "stem_conv" in self.arrays:
            return "imagenet" if self.arrays["stem_conv"][0].shape[0] == 7 else "cifar"
        widths = [self.arrays[f"stem_conv{index}"][0].shape[-1] for index in (1, 2)]
        return "deep" if widths[0] == widths[1] else "deep_tiered"
