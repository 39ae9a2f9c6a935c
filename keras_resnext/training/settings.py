"""`Settings`: everything that decides the outcome of a training run, as plain typed data."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keras_resnext.training.typed import check_types, from_toml, to_toml

ModelName = Literal[
    "resnext11", "resnext20", "resnext26", "resnext29", "resnext50", "resnext101", "resnext152"
]
Stem = Literal["cifar", "imagenet", "deep", "deep_tiered"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]

AT_LEAST = {
    "accumulate_steps": 1,
    "base_batch_size": 1,
    "base_width": 1,
    "batch_size": 1,
    "cardinality": 1,
    "clip_norm": 0,
    "crop_padding": 0,
    "cutmix": 0,
    "epochs": 1,
    "image_size": 1,
    "mixup": 0,
    "seed": 0,
    "warmup_epochs": 0,
    "weight_decay": 0,
}
FRACTIONS = ("ema_decay", "label_smoothing", "momentum")


@dataclass(frozen=True)
class Settings:
    """What is trained, on what, and how.

    The defaults are those of nothing in particular: see `recipes.RECIPES` for settings that work.

    Raises:
        ValueError: a setting is out of range or at odds with another.
    """

    dataset: Literal["cifar100", "demo", "folder"] = "demo"
    """Data set: CIFAR-100, a small one made by code, or a folder of images a class."""
    data_dir: Path | None = None
    """Where the official CIFAR-100 archive or folder lies (left out: TensorFlow Datasets), or the
    folder of images."""
    image_size: int | None = None
    """Height and width that the images of a folder are brought to, in pixels; left out: what
    published weights were measured with, or 224."""

    model: ModelName = "resnext11"
    """Network; the number counts its layers."""
    cardinality: int | None = None
    """Paths of a block (groups of the 3x3 convolution); left out: as the weights to begin with, or
    the model's own."""
    base_width: int | None = None
    """Channels of a path in the first stage; left out: likewise."""
    stem: Stem | None = None
    """First layers: a 3x3 convolution at full size (cifar), or to a quarter of it by one of 7x7
    (imagenet) or three of 3x3 (deep, deep_tiered) and pooling; left out: likewise, and imagenet for
    images of a folder of more than 64 pixels."""
    shortcut: Literal["projection", "average_pool"] | None = None
    """How a shortcut halves the size: by the stride of its convolution, or by means before it; left
    out: as the weights to begin with, or projection."""
    squeeze_excitation: bool | None = None
    """Let each block weigh its channels (SE-ResNeXt); left out: as the weights to begin with, or
    not."""
    reduce: Literal["dense", "grouped"] = "dense"
    """First 1x1 convolution of a block: dense as in the paper, or grouped like the 3x3."""
    weights: str | None = None
    """Weights to begin with: published ones ("imagenet", or a name or tag that docs/presets/
    lists), a file (.weights.h5, .keras, .pth, .safetensors, .h5) or the folder of a run. The
    network is theirs where the settings above leave it open; the classifier begins afresh where it
    has other classes."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 128
    """Images a step, on all devices together."""
    drop_remainder: bool = False
    """Leave out an epoch's last batch where it is smaller (JAX compiles a step for it alone)."""
    accumulate_steps: int = 1
    """Steps whose gradients are averaged into one update of the weights."""

    learning_rate: float = 0.1
    """Highest learning rate."""
    base_batch_size: int | None = None
    """Images an update that the learning rate is meant for: with batch-size * accumulate-steps of
    them it becomes learning-rate * batch-size * accumulate-steps / base-batch-size (Goyal et al.
    2017). Left out: it is taken as it is."""
    schedule: Literal["constant", "piecewise", "cosine"] = "piecewise"
    """How the learning rate goes on after the warm-up."""
    milestones: tuple[int, ...] = ()
    """Piecewise: finished epochs at which the learning rate is multiplied by decay-factor."""
    decay_factor: float = 0.1
    """Piecewise: what each milestone multiplies by."""
    warmup_epochs: float = 0.0
    """Epochs over which the learning rate rises from 0, step by step."""
    momentum: float = 0.9
    """Momentum of SGD."""
    nesterov: bool = True
    """Nesterov's form of momentum."""
    weight_decay: float = 5e-4
    """Pull towards zero of every trainable weight."""
    weight_decay_kind: Literal["coupled", "decoupled"] = "coupled"
    """Coupled: added to the gradient, as PyTorch's SGD does; decoupled: as Keras' SGD does."""
    clip_norm: float = 0.0
    """Longest gradient of an update, all weights taken as one vector; longer ones are scaled
    down. 0: no limit."""
    backbone_rate: float = 1.0
    """Learning rate of all weights but the classifier's, as a part of the classifier's."""
    layer_decay: float = 1.0
    """What a stage's learning rate is multiplied by for each stage from it to the classifier: the
    last stage has it once, the one before twice, the stem most often. 1: nothing."""
    frozen_epochs: float = 0.0
    """Epochs at the beginning in which only the classifier learns."""
    freeze_batch_norm: bool = False
    """Keep statistics, scales and offsets of batch normalisation as the weights to begin with have
    them, instead of letting them follow the new images."""
    ema_decay: float = 0.0
    """Validate and save an average of the weights over the steps, in which each step's count
    1 - ema-decay, instead of the last ones. 0: no average."""
    label_smoothing: float = 0.0
    """Part of a label's probability that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """Balanced: in the loss to learn by, classes of few training images weigh more, each class the
    same in all. Accuracy and validation loss stay as they are."""

    crop_padding: int = 4
    """Augmentation: pixels of padding that a crop is taken from; 0: no crop."""
    flip: bool = True
    """Augmentation: mirror every other image."""
    rotation_degrees: float = 0.0
    """Augmentation: rotate by up to this angle each way, in degrees."""
    padding_colour: Literal["mean", "black"] = "mean"
    """Augmentation: what crop and rotation uncover."""
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """Augmentation: how a rotated image is sampled."""
    policy: Literal["none", "trivialaugment"] = "none"
    """Augmentation: one random operation of random strength an image (TrivialAugment)."""
    erasing: float = 0.0
    """Augmentation: probability that a random rectangle of an image is erased."""
    mixup: float = 0.0
    """Augmentation: alpha of MixUp, which blends each image with another; 0: none."""
    cutmix: float = 0.0
    """Augmentation: alpha of CutMix, which pastes a part of another image; 0: none."""

    small_sizes: tuple[int, ...] = ()
    """Progressive resizing: heights and widths that augmented images are reduced to at first, in
    pixels, rising; each until the epoch of the same place in small-until. Empty: full size."""
    small_until: tuple[int, ...] = ()
    """Progressive resizing: finished epochs at which each of small-sizes ends, rising."""

    precision: Precision = "auto"
    """Arithmetic; auto: mixed_bfloat16 on an accelerator (mixed_float16 on one that lacks it),
    float32 on a CPU."""
    batch_norm: Literal["per_replica", "synchronised"] = "per_replica"
    """On several devices: normalise by the statistics of each device's part of the batch, or by
    those of all of it."""
    seed: int = 0
    """Of initial weights, order and augmentation."""
    deterministic: bool = False
    """Make the same run give the same weights, bit for bit, on one machine and backend; slower on
    a GPU. On a CPU the backends do so anyway."""

    def __post_init__(self):
        check_types(self)
        for name, least in AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise ValueError(f"{name}: expected {least} or more, got {value!r}")
        for name in FRACTIONS:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 0 to less than 1, got {getattr(self, name)!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: expected more than 0, got {self.learning_rate!r}")
        for name in ("decay_factor", "backbone_rate", "layer_decay"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected over 0, to 1, got {getattr(self, name)!r}")
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"erasing: expected 0 to 1, got {self.erasing!r}")
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"rotation_degrees: expected 0 to 180, got {self.rotation_degrees!r}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a momentum above 0; raise it or set no-nesterov")
        for name in ("warmup_epochs", "frozen_epochs"):
            if not 0 <= getattr(self, name) < self.epochs:
                raise ValueError(
                    f"{name}: expected 0 to fewer than epochs ({self.epochs}), "
                    f"got {getattr(self, name)!r}"
                )
        rising = sorted({epoch for epoch in self.milestones if epoch > 0})
        if list(self.milestones) != rising:
            raise ValueError(
                f"milestones: expected rising epochs, each 1 or more, got {self.milestones!r}"
            )
        if len(self.small_sizes) != len(self.small_until):
            raise ValueError(
                f"small_until: expected one epoch for each of small_sizes {self.small_sizes!r}, "
                f"got {self.small_until!r}"
            )
        for name in ("small_sizes", "small_until"):
            values = getattr(self, name)
            if list(values) != sorted({value for value in values if value > 0}):
                raise ValueError(f"{name}: expected rising numbers, each 1 or more, got {values!r}")
        ours = [name for name in _COUPLED_ONLY if getattr(self, name) != getattr(Settings, name)]
        if ours and self.weight_decay_kind == "decoupled":
            raise ValueError(
                f"weight_decay_kind: expected 'coupled', which {', '.join(ours)} needs, "
                "got 'decoupled'"
            )
        if self.freeze_batch_norm and self.weights is None:
            raise ValueError(
                "freeze_batch_norm: fresh statistics would stay zeros and ones; name weights to "
                "begin with, or set no-freeze-batch-norm"
            )
        self._check_data()

    def _check_data(self):
        if self.data_dir is not None and self.dataset == "demo":
            raise ValueError(
                "data_dir: the demo set is made by code and reads none, got "
                f"{str(self.data_dir)!r}; leave it out or choose dataset cifar100 or folder"
            )
        if self.dataset != "folder" and self.image_size is not None:
            raise ValueError(
                f"image_size: the images of {self.dataset} have their own, got {self.image_size}; "
                "leave it out"
            )

    @property
    def peak_learning_rate(self) -> float:
        """Highest learning rate, scaled to the images an update."""
        if self.base_batch_size is None:
            return float(self.learning_rate)
        images = self.batch_size * self.accumulate_steps
        return self.learning_rate * images / self.base_batch_size

    def to_toml(self) -> str:
        """Write as TOML; `from_toml` reads it back."""
        return to_toml(self)

    @classmethod
    def from_toml(cls, text: str) -> "Settings":
        """Read what `to_toml` wrote; keys that are missing keep their defaults.

        Raises:
            ValueError: it is not TOML, a key is unknown, or a value does not fit.
        """
        return from_toml(cls, text)

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Settings":
        """Read a settings file.

        Raises:
            ValueError: it cannot be read or does not hold settings; the message names the file.
        """
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"settings file {os.fspath(path)!r}: {error}") from error


# Done by `optimizer.CoupledSGD`, not by Keras' SGD.
_COUPLED_ONLY = ("backbone_rate", "ema_decay", "frozen_epochs", "layer_decay")
