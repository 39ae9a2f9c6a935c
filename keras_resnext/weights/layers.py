"""A trained network apart from Keras: the weights of its layers, and what else it needs."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_resnext.architecture import STEMS, Architecture
from keras_resnext.blocks import STEM_CHANNELS, kernel_shapes
from keras_resnext.preprocessing import Preprocessing

HEAD = "predictions"
OURS = re.compile(rf"stem_|stage\d+_block\d+_|{HEAD}$")
"""Names of the layers of a ResNeXt; others in a model are its user's."""
_LAST_CONV = re.compile(r"stage(?P<stage>\d+)_block\d+_conv3")
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
        """From the weights of a network's layers, its blocks in any form; others are left out.

        Layers without weights are needed, too: they tell the kind of shortcut.
        """
        from keras_resnext.features import join_branches

        ours = {name: arrays for name, arrays in layers.items() if OURS.match(name)}
        pooled = any(name.endswith("_shortcut_pool") for name in ours)
        arrays = join_branches(ours)
        widths = [weights[0].shape[-1] for name, weights in arrays.items() if "_conv3" in name]
        if HEAD in arrays and arrays[HEAD][0].shape[:1] != (max(widths, default=0),):
            del arrays[HEAD]  # the user's own, behind other layers
        return cls(arrays, "average_pool" if pooled else "projection")

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
            found = self.nearest_architecture()
        except (LookupError, ValueError, ZeroDivisionError):
            return None
        return None if self.misfits(found) else found

    def nearest_architecture(self) -> Architecture:
        """The network that the first block is of; a KeyError names a layer that is missing."""
        numbers = [match for name in self.arrays if (match := _LAST_CONV.fullmatch(name))]
        stages = [int(match["stage"]) for match in numbers]
        counts = tuple(stages.count(stage) for stage in range(1, max(stages, default=1) + 1))
        if 0 in counts:
            raise KeyError(f"stage{counts.index(0) + 1}_block1_conv3")
        first = "stage1_block1"
        group_width, inner_width = self.arrays[f"{first}_conv2"][0].shape[-2:]
        grouped = self.arrays[f"{first}_conv1"][0].shape[-2] != STEM_CHANNELS
        return Architecture(
            stage_blocks=counts,
            cardinality=inner_width // group_width,
            base_width=group_width,
            stem=self._stem(),
            shortcut=self.shortcut,
            squeeze_excitation=f"{first}_se_conv1" in self.arrays,
            reduce="grouped" if grouped else "dense",
        )

    def _stem(self) -> str:
        deep = "stem_conv1" in self.arrays
        sizes = [self.arrays[f"stem_conv{n}"][0].shape for n in ((1, 2, 3) if deep else ("",))]
        found = tuple((shape[0], shape[-1]) for shape in sizes)
        return next((stem for stem, sizes in STEMS.items() if sizes == found), "cifar")

    def misfits(self, architecture: Architecture) -> dict[str, tuple[int, ...]]:
        """Layers that a network has otherwise or not at all, with the shape of its kernel.

        That is () for layers that it does not have.
        """
        wanted = kernel_shapes(architecture, self.channels)
        if HEAD in self.arrays:
            last = [shape for layer, shape in wanted.items() if layer.endswith("_conv3")][-1]
            wanted[HEAD] = (last[-1], self.arrays[HEAD][0].shape[-1])
        shapes: dict[str, list[tuple[int, ...]]] = {}
        for layer, kernel in wanted.items():
            has_bias = layer == HEAD or "_se_" in layer
            shapes[layer] = [kernel, kernel[-1:]] if has_bias else [kernel]
            if not has_bias:
                shapes[layer.replace("_conv", "_bn")] = [kernel[-1:]] * 4
        found = {layer: [array.shape for array in arrays] for layer, arrays in self.arrays.items()}
        return {
            layer: next(iter(shapes.get(layer, ())), ())
            for layer in shapes | found
            if shapes.get(layer) != found.get(layer)
        }


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, and all that is needed to use it.

    Attributes:
        name: such as `"resnext50_32x4d.a1_in1k"`, or that of a run, file or repository.
        architecture: of the network.
        classes: outputs of the classifier; None without one.
        source: URL or path.
        read: reads its weights; use `weights`.
        folder: where results about it belong.
        channels: of the images, 3 for RGB.
        preprocessing: from an image to the network's input; None where nothing says, and so below.
        class_names: by label.
        license: SPDX identifier.
        trained_on: data set and procedure in words.
        accuracy: fractions by what they are of, such as `{"imagenet-1k top-1": 0.8147}`.
    """

    name: str
    architecture: Architecture
    classes: int | None
    source: str
    read: Callable[[], LayerWeights] = field(repr=False, compare=False)
    folder: Path | None = None
    channels: int = 3
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    license: str | None = None
    trained_on: str | None = None
    accuracy: dict[str, float] = field(default_factory=dict)

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
                f"classes, but its weights are those of {found} with {classes or 'no'} classes"
            )
        return weights


def _flat(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer
