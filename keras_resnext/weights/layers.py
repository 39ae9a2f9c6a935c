"""A trained network apart from Keras: the weights of its layers, and what else it needs."""

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_resnext.architecture import STEMS, Architecture
from keras_resnext.blocks import STEM_CHANNELS, kernel_shapes
from keras_resnext.features import join_branches
from keras_resnext.files import escape, few
from keras_resnext.preprocessing import Preprocessing

HEAD = "predictions"
OURS = re.compile(rf"stem_|stage\d+_block\d+_|{HEAD}$")
"""Names of the layers of a ResNeXt; others in a model are its user's."""
Shapes = dict[tuple[str, int], tuple[int, ...]]  # by layer and index of the tensor in it
_LAST_CONV = re.compile(r"stage(?P<stage>\d+)_block\d+_conv3")
logger = logging.getLogger("keras_resnext")
_announced: set[str] = set()  # checkpoints whose license was told


class MisfitError(ValueError):
    """Tensors that no ResNeXt has so.

    Attributes:
        expected: by layer and index in it, the shape in the nearest network: None where it has no
            such tensor, () where no network is near.
    """

    def __init__(self, found: Shapes, expected: dict[tuple[str, int], Any]):
        texts = (
            misfit(f"{layer}/{index}", found.get((layer, index)), shape)
            for (layer, index), shape in expected.items()
        )
        super().__init__(few(texts))
        self.expected = expected


def misfit(name: str, found: tuple[int, ...] | None, expected: tuple[int, ...] | None) -> str:
    """Say in words what shape a tensor has, and what `MisfitError` expects."""
    wanted = "" if expected == () else f", expected {expected or 'none'}"
    return f"{escape(name)} {'is missing' if found is None else found}{wanted}"


@dataclass(frozen=True)
class LayerWeights:
    """Weights of a ResNeXt by the names and in the layout of our layers.

    Attributes:
        arrays: the weights of each layer, blocks in form (c), in the order of
            `keras.Layer.get_weights`. A classifier without bias gets one of zeros.
        shortcut: `"projection"` or `"average_pool"`, which the weights themselves do not tell.
        architecture: the network that the shapes belong to.

    Raises:
        MisfitError: they belong to none.
    """

    arrays: dict[str, list[np.ndarray]]
    shortcut: str = "projection"
    architecture: Architecture = field(init=False)

    def __post_init__(self):
        if len(head := self.arrays.get(HEAD, [])) == 1:
            self.arrays[HEAD] = [*head, np.zeros(head[0].shape[-1:], head[0].dtype)]
        found = {
            (layer, index): array.shape
            for layer, arrays in self.arrays.items()
            for index, array in enumerate(arrays)
        }
        misfits: dict[tuple[str, int], Any]
        try:
            architecture = self._nearest()
            wanted = self._shapes(architecture)
        except KeyError as error:
            misfits = {(error.args[0], 0): ()}
        except (IndexError, ValueError, ZeroDivisionError):
            flat = (key for key, shape in found.items() if "_conv" in key[0] and len(shape) != 4)
            misfits = {next(flat, ("stage1_block1_conv2", 0)): ()}
        else:
            differ = (key for key in wanted | found if wanted.get(key) != found.get(key))
            misfits = {key: wanted.get(key) for key in differ}
        if misfits:
            raise MisfitError(found, misfits)
        object.__setattr__(self, "architecture", architecture)

    @classmethod
    def of_layers(cls, layers: Iterable[tuple[str, list[np.ndarray]]], what: str) -> "LayerWeights":
        """From the names and weights of layers, the blocks in any form; others are left out.

        Layers without weights are needed, too: they tell the kind of shortcut.

        Raises:
            ValueError: there is no ResNeXt in `what`, or more than one; the message names tensors.
        """
        ours: dict[str, list[np.ndarray]] = {}
        others = []
        for name, arrays in layers:
            if not OURS.match(name):
                others += [name] if arrays else []
            elif arrays and ours.get(name):
                raise ValueError(f"{what} holds more than one layer {name!r}; expected one ResNeXt")
            else:
                ours[name] = ours.get(name) or arrays
        pooled = any(name.endswith("_shortcut_pool") for name in ours)
        try:
            whole = join_branches(ours)
            widths = [weights[0].shape[-1:] for name, weights in whole.items() if "_conv3" in name]
            if HEAD in whole and whole[HEAD][0].shape[:1] != max(widths, default=None):
                del whole[HEAD]  # the user's own, behind other layers
            return cls(whole, "average_pool" if pooled else "projection")
        except ValueError as error:
            told = f"; its layers are {few(map(escape, others))}" if others else ""
            raise ValueError(f"{what} holds no ResNeXt of keras_resnext: {error}{told}") from None

    @classmethod
    def of_model(cls, model: keras.Model) -> "LayerWeights":
        """From a `ResNeXt`, or a model that was built on one, however deep it is nested.

        Raises:
            ValueError: there is no ResNeXt in it, or more than one.
        """
        layers = model._flatten_layers(include_self=False)
        parts = (layer for layer in layers if not isinstance(layer, keras.Model))
        named = ((layer.name, layer.get_weights()) for layer in parts)
        return cls.of_layers(named, f"model {model.name!r}")

    @property
    def classes(self) -> int | None:
        """Outputs of the classifier; None without one."""
        return self.arrays[HEAD][0].shape[-1] if HEAD in self.arrays else None

    @property
    def channels(self) -> int:
        """Channels of the images, such as 3 for RGB."""
        stem = "stem_conv" if "stem_conv" in self.arrays else "stem_conv1"
        return self.arrays[stem][0].shape[-2]

    def _nearest(self) -> Architecture:
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

    def _shapes(self, architecture: Architecture) -> Shapes:
        """Shapes of all tensors of a network for as many channels and classes as these."""
        kernels = kernel_shapes(architecture, self.channels)
        if self.classes is not None:
            last = [shape for layer, shape in kernels.items() if layer.endswith("_conv3")][-1]
            kernels[HEAD] = (last[-1], self.classes)
        shapes: Shapes = {}
        for layer, kernel in kernels.items():
            shapes[layer, 0] = kernel
            if layer == HEAD or "_se_" in layer:
                shapes[layer, 1] = kernel[-1:]
            else:
                norm = layer.replace("_conv", "_bn")
                shapes |= {(norm, index): kernel[-1:] for index in range(4)}
        return shapes


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
        found, classes = weights.architecture, weights.classes
        if (found, classes) != (self.architecture, self.classes):
            raise ValueError(
                f"{self.source} is described as {self.architecture} with {self.classes or 'no'} "
                f"classes, but its weights are those of {found} with {classes or 'no'} classes"
            )
        return weights
