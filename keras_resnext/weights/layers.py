"""A trained network apart from Keras: the weights of its layers, and what else it needs."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_resnext.architecture import Architecture
from keras_resnext.blocks import STEM_CHANNELS
from keras_resnext.preprocessing import Preprocessing

HEAD = "predictions"
OURS = re.compile(rf"stem_|stage\d+_block\d+_|{HEAD}$")
"""Names of the layers of a ResNeXt; others in a model are its user's."""
_POOL = "_shortcut_pool"
logger = logging.getLogger("keras_resnext")
_announced: set[str] = set()  # checkpoints whose license was told


@dataclass(frozen=True)
class LayerWeights:
    """Weights by the names and in the layout of our layers.

    Attributes:
        arrays: the weights of each layer, blocks in form (c), in the order of
            `keras.Layer.get_weights`.
        shortcut: `"projection"` or `"average_pool"`, which the weights themselves do not tell.
    """

    arrays: dict[str, list[np.ndarray]]
    shortcut: str = "projection"

    @classmethod
    def of_layers(cls, layers: dict[str, list[np.ndarray]]) -> "LayerWeights":
        """From the weights of a network's layers, its blocks in any form.

        Args:
            layers: by name, layers without weights included: they tell the kind of shortcut. Those
                that are not a ResNeXt's are left out.
        """
        from keras_resnext.features import join_branches

        ours = {name: arrays for name, arrays in layers.items() if OURS.match(name)}
        pooled = any(name.endswith(_POOL) for name in ours)
        return cls(join_branches(ours), "average_pool" if pooled else "projection")

    @classmethod
    def of_model(cls, model: keras.Model) -> "LayerWeights":
        """From a `ResNeXt`, or a model that was built on one; nested models are searched too.

        Raises:
            ValueError: there is no ResNeXt in it, or more than one.
        """
        layers: dict[str, list[np.ndarray]] = {}
        for layer in _flat(model):
            if OURS.match(layer.name):
                if layer.name in layers:
                    raise ValueError(f"model {model.name!r} holds more than one {layer.name!r}")
                layers[layer.name] = layer.get_weights()
        weights = cls.of_layers(layers)
        if weights.architecture() is None:
            raise ValueError(f"model {model.name!r} holds no ResNeXt of keras_resnext")
        return weights

    @property
    def classes(self) -> int | None:
        """Outputs of the classifier; None without one."""
        return self.arrays[HEAD][0].shape[-1] if HEAD in self.arrays else None

    @property
    def channels(self) -> int:
        """Channels of the images, such as 3 for RGB."""
        stem = "stem_conv" if "stem_conv" in self.arrays else "stem_conv1"
        return self.arrays[stem][0].shape[-2]

    def architecture(self) -> Architecture | None:
        """The network that the shapes belong to; None if they belong to none."""
        try:
            return self._architecture()
        except (KeyError, IndexError, ValueError, ZeroDivisionError):
            return None

    def _architecture(self) -> Architecture:
        blocks: dict[int, int] = {}
        for name in self.arrays:
            if name.endswith("_conv3") and name.startswith("stage"):
                stage = int(name.split("_")[0].removeprefix("stage"))
                blocks[stage] = blocks.get(stage, 0) + 1
        if sorted(blocks) != list(range(1, len(blocks) + 1)):
            raise ValueError("a stage is missing")
        first = "stage1_block1"
        group_width, inner_width = self.arrays[f"{first}_conv2"][0].shape[-2:]
        grouped = self.arrays[f"{first}_conv1"][0].shape[-2] != STEM_CHANNELS
        return Architecture(
            stage_blocks=tuple(blocks[stage] for stage in sorted(blocks)),
            cardinality=inner_width // group_width,
            base_width=group_width,
            stem=self._stem(),
            shortcut=self.shortcut,
            squeeze_excitation=f"{first}_se_conv1" in self.arrays,
            reduce="grouped" if grouped else "dense",
        )

    def _stem(self) -> str:
        if "stem_conv" in self.arrays:
            return "imagenet" if self.arrays["stem_conv"][0].shape[0] == 7 else "cifar"
        widths = [self.arrays[f"stem_conv{index}"][0].shape[-1] for index in (1, 2)]
        return "deep" if widths[0] == widths[1] else "deep_tiered"


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, and all that is needed to use it.

    Attributes:
        name: such as `"resnext50_32x4d.a1_in1k"`, or that of a run, file or repository.
        architecture: of the network.
        preprocessing: from an image to the network's input; None where nothing says.
        class_names: by label; None where nothing says.
        classes: outputs of the classifier; None without one.
        license: SPDX identifier; None where nothing says.
        source: URL or path.
        trained_on: data set and procedure in words; None where nothing says.
        accuracy: fractions by what they are of, such as `{"imagenet-1k top-1": 0.8147}`.
        folder: where results about it belong.
        read: reads its weights; use `weights`.
    """

    name: str
    architecture: Architecture
    preprocessing: Preprocessing | None
    class_names: tuple[str, ...] | None
    classes: int | None
    license: str | None
    source: str
    trained_on: str | None
    accuracy: dict[str, float]
    folder: Path | None
    read: Callable[[], LayerWeights] = field(repr=False, compare=False)

    def weights(self) -> LayerWeights:
        """Read the weights; published ones are downloaded if they are not in the cache.

        Raises:
            ValueError: they cannot be read, or are of another network than the checkpoint says.
            ConnectionError: they cannot be downloaded.
            ImportError: they are in a `.pth`, and PyTorch is not installed.
        """
        if "-nc" in (self.license or "").lower() and self.name not in _announced:
            _announced.add(self.name)
            logger.warning("%s: %s forbids commercial use", self.name, self.license)
        weights = self.read()
        found, classes = weights.architecture(), weights.classes
        if (found, classes) != (self.architecture, self.classes):
            raise ValueError(
                f"{self.source} is described as {self.architecture} with {self.classes or 'no'} "
                f"classes, but its weights are those of {found} with "
                f"{classes or 'no'} classes"
            )
        return weights


def _flat(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer
