"""`Settings`: everything that decides the outcome of a training run, as plain typed data.

Each part is a dataclass of its own, which is a table of `settings.toml` and a heading of `--help`;
functions take the part they need.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from keras_resnext.architecture import STAGE_BLOCKS
from keras_resnext.data import Augmentation, DatasetName
from keras_resnext.files import require

try:
    import pydantic
    from pydantic import Field
    from pydantic.dataclasses import dataclass as pydantic_dataclass
except ImportError as missing:
    raise ImportError(
        'training needs pydantic. Type: pip install "keras-resnext[train]"'
    ) from missing

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(gt=0, le=1)]
Folder = Annotated[Path, Field(strict=False)]

FREE = ("epochs", "data_dir")
"""Settings that a resumed run may change: how far it goes, and where its data lies."""


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
def checked(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose values, given by name, pydantic checks; errors are one line.

    Raises:
        ValueError: (by the class) a value is out of range; the message names the option.
    """
    config = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    result: Any = pydantic_dataclass(kw_only=True, frozen=True, config=config)(cls)
    init = result.__init__

    @functools.wraps(init)
    def init_in_one_line(self, **kwargs):
        try:
            init(self, **kwargs)
        except pydantic.ValidationError as error:
            raise ValueError(_in_one_line(error)) from None

    result.__init__ = init_in_one_line
    return result


def option(name: str) -> str:
    """The option that a user types for a field: "--batch-size" for "batch_size"."""
    return "--" + name.replace("_", "-")


def _in_one_line(error: pydantic.ValidationError) -> str:
    problem = error.errors()[0]
    if "error" in (context := problem.get("ctx", {})):  # raised by a `__post_init__`
        message = str(context["error"])
        return re.sub(r"^[a-z_]+(?=: )", lambda found: option(found[0]), message)
    names = [part for part in problem["loc"] if isinstance(part, str)]
    if problem["type"] == "unexpected_keyword_argument":
        return f"unknown setting {'.'.join(names)!r}"
    message = problem["msg"].replace("Input should be", "must be")
    return f"{option(names[-1])}: {message}, got {problem['input']!r}"


@checked
class Data:
    """What the network learns from."""

    dataset: DatasetName = "demo"
    """CIFAR-100, a small synthetic set, your own images in one folder per class, or ImageNet."""
    data_dir: Folder | None = None
    """Folder of the images (ImageNet: of train/ and val/), or where the official CIFAR-100 archive
    lies. None: CIFAR-100 comes from TensorFlow Datasets."""
    image_size: Count | None = None
    """Height and width, in pixels, that image files are resized to. None: those the initial weights
    were evaluated with, or 224."""
    batch_size: Count = 128
    """Images per step, on all devices together."""
    drop_remainder: bool = False
    """Leave out an epoch's last batch if it is smaller (JAX would compile a step for it alone)."""

    def __post_init__(self):
        if self.image_size is not None and not self.has_files:
            raise ValueError(
                f"image_size: the images of {self.dataset} have a size of their own, got "
                f"{self.image_size}; leave it out"
            )

    @property
    def has_files(self) -> bool:
        """Whether images are files of any size."""
        return self.dataset in ("folder", "imagenet")


@checked
class Network:
    """The network, and the weights it starts from. None: as in the initial weights, or else the
    model's default.
    """

    model: Literal[tuple(STAGE_BLOCKS)] = "resnext11"  # type: ignore[valid-type]
    """Architecture; the number counts its layers."""
    cardinality: Count | None = None
    """Groups of each 3x3 convolution (32; 8 in resnext29)."""
    base_width: Count | None = None
    """Channels per group in the first stage (4; 64 in resnext29)."""
    stem: Literal["cifar", "imagenet", "deep", "deep_tiered"] | None = None
    """First layers: a 3x3 convolution at full resolution (cifar), or down to a quarter of it by one
    7x7 convolution (imagenet) or three 3x3 ones (deep, deep_tiered) and pooling."""
    shortcut: Literal["projection", "average_pool"] | None = None
    """How a shortcut halves the resolution: by its convolution's stride or by average pooling."""
    squeeze_excitation: bool | None = None
    """Squeeze-and-excitation in each block (SE-ResNeXt)."""
    reduce: Literal["dense", "grouped"] | None = None
    """First 1x1 convolution of a block: dense as in the paper, or grouped like the 3x3."""
    weights: str | None = None
    """Initial weights: any checkpoint (a name of `keras-resnext presets`, hf://OWNER/NAME, a run's
    folder, or a .safetensors, .weights.h5, .keras or .pth file). None: random."""


@checked
class Schedule:
    """How long to train, and the learning rate over time."""

    epochs: Count = 10
    """Passes over the training images."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """Peak learning rate."""
    base_batch_size: Count | None = None
    """Images per update that the learning rate is meant for; for other batch sizes it is scaled in
    proportion (Goyal et al. 2017). None: the learning rate is taken as it is."""
    schedule: Literal["constant", "piecewise", "cosine"] = "piecewise"
    """Course of the learning rate after the warm-up."""
    milestones: tuple[Count, ...] = ()
    """Piecewise: numbers of epochs after which the learning rate is multiplied by decay-factor."""
    decay_factor: Factor = 0.1
    """Piecewise: what each milestone multiplies the learning rate by."""
    warmup_epochs: NotNegative = 0.0
    """Epochs in which the learning rate rises linearly from 0, step by step."""
    frozen_epochs: NotNegative = 0.0
    """Epochs at the beginning in which only the classifier learns."""

    def __post_init__(self):
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones: must rise, got {' '.join(map(str, self.milestones))}")
        for name in ("warmup_epochs", "frozen_epochs"):
            if getattr(self, name) >= self.epochs:
                raise ValueError(
                    f"{name}: must be fewer than the epochs ({self.epochs}), got "
                    f"{getattr(self, name):g}"
                )


@checked
class Optimizer:
    """Stochastic gradient descent."""

    momentum: BelowOne = 0.9
    """Momentum."""
    nesterov: bool = True
    """Nesterov momentum."""
    weight_decay: NotNegative = 5e-4
    """Weight decay of every trainable weight, added to the gradient as in PyTorch's SGD."""
    accumulate_steps: Count = 1
    """Steps whose gradients are averaged into one update of the weights."""
    clip_norm: NotNegative = 0.0
    """Largest norm of an update's gradient, over all weights; 0: no limit."""
    backbone_rate: Factor = 1.0
    """Learning rate of all weights but the classifier's, relative to the classifier's."""
    freeze_batch_norm: bool = False
    """Keep statistics, scales and offsets of batch normalization as the initial weights have
    them."""
    ema_decay: BelowOne = 0.0
    """Validate and save an exponential moving average of the weights with this decay per step, less
    in the first steps. 0: no average."""

    def __post_init__(self):
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a --momentum above 0; raise it or add --no-nesterov")


@checked
class Loss:
    """Cross-entropy, and how it weighs labels and classes."""

    label_smoothing: BelowOne = 0.0
    """Part of a label's probability that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """Balanced: every class has the same total weight in the loss, however few its images. Accuracy
    is not weighted."""


@checked
class Settings:
    """What is trained, on what, and how. See `recipes.RECIPES` for settings that work.

    Raises:
        ValueError: a setting is out of range or at odds with another.
    """

    data: Data = dataclasses.field(default_factory=Data)
    network: Network = dataclasses.field(default_factory=Network)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    loss: Loss = dataclasses.field(default_factory=Loss)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """Arithmetic. auto: mixed_bfloat16 on an accelerator (mixed_float16 if it lacks bfloat16), and
    on a CPU that has instructions for it (under JAX: AMX); else float32."""
    batch_norm: Literal["per_replica", "synchronized"] = "per_replica"
    """On several devices: normalize by the statistics of each device's part of the batch, or of the
    whole batch."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of initial weights, order and augmentation."""
    deterministic: bool = False
    """Make a repeated run bit-equal on the same machine and backend; slower on a GPU. On a CPU runs
    are bit-equal anyway."""

    def __post_init__(self):
        if self.optimizer.freeze_batch_norm and self.network.weights is None:
            raise ValueError(
                "freeze_batch_norm: random weights have no statistics worth keeping; name "
                "--weights, or add --no-freeze-batch-norm"
            )

    @property
    def peak_learning_rate(self) -> float:
        """Peak learning rate, scaled to the images per update."""
        if self.schedule.base_batch_size is None:
            return self.schedule.learning_rate
        images = self.data.batch_size * self.optimizer.accumulate_steps
        return self.schedule.learning_rate * images / self.schedule.base_batch_size

    def change(self, **values: Any) -> "Settings":
        """A copy with other values, each by its own name: `change(epochs=3, seed=1)`.

        Raises:
            ValueError: a setting is unknown or does not fit.
        """
        for part, names in _names().items():
            if mine := {name: values.pop(name) for name in names if name in values}:
                values[part] = dataclasses.replace(getattr(self, part), **mine)
        return dataclasses.replace(self, **values)

    def flat(self) -> dict[str, Any]:
        """All values by their own names, without tables."""
        flat: dict[str, Any] = {}
        for name, value in _adapter().dump_python(self).items():
            flat |= value if isinstance(value, dict) else {name: value}
        return flat

    def digest(self, *more: str) -> str:
        """SHA-256 of `more` and of the settings that a resumed run must keep."""
        kept = {name: value for name, value in self.flat().items() if name not in FREE}
        text = json.dumps([kept, *more], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """The settings as TOML, one table per part; values that are None are left out."""
        tomli_w = require("tomli_w", "training needs tomli-w")
        return tomli_w.dumps(_adapter().dump_python(self, mode="json", exclude_none=True))

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Settings":
        """Read a file of what `to_toml` wrote; missing keys keep their defaults.

        Raises:
            ValueError: it cannot be read, a key is unknown, or a value does not fit; the message
                names the file.
        """
        path = Path(path)
        try:
            if not path.is_file():
                raise ValueError("there is no such file")
            values = tomllib.loads(path.read_text(encoding="utf-8"))
            return _adapter().validate_json(json.dumps(values, default=str))
        except pydantic.ValidationError as error:
            raise ValueError(f"settings file {path}: {_in_one_line(error)}") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"settings file {path}: {error}") from error


@functools.cache
def _names() -> dict[str, tuple[str, ...]]:
    """Names of the settings of each part."""
    values = _adapter().dump_python(Settings())
    return {part: tuple(names) for part, names in values.items() if isinstance(names, dict)}


@functools.cache
def _adapter() -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(Settings)
