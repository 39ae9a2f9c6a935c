"""`Settings`: everything that decides the outcome of a training run, as plain typed data."""

import dataclasses
import json
import os
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ModelName = Literal["resnext11", "resnext20", "resnext29", "resnext50", "resnext101", "resnext152"]
Stem = Literal["cifar", "imagenet"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Settings:
    """What is trained, on what, and how.

    The defaults are those of nothing in particular: see `recipes.RECIPES` for settings that work.

    Raises:
        ValueError: a setting is out of range or at odds with another.
    """

    dataset: Literal["cifar100", "demo"] = "demo"
    """Data set: CIFAR-100, or a small one made by code."""
    data_dir: Path | None = None
    """Where the official CIFAR-100 archive or folder lies; left out: TensorFlow Datasets."""

    model: ModelName = "resnext11"
    """Network; the number counts its layers."""
    cardinality: int | None = None
    """Paths of a block (groups of the 3x3 convolution); left out: the model's own."""
    base_width: int | None = None
    """Channels of a path in the first stage; left out: the model's own."""
    stem: Stem | None = None
    """First layers: 3x3 at full size, or 7x7 and pooling to a quarter; left out: the model's."""
    reduce: Literal["dense", "grouped"] = "dense"
    """First 1x1 convolution of a block: dense as in the paper, or grouped like the 3x3."""

    epochs: int = 10
    """Passes over the training images."""
    batch_size: int = 128
    """Images a step."""
    drop_remainder: bool = False
    """Leave out an epoch's last batch where it is smaller (JAX compiles a step for it alone)."""

    learning_rate: float = 0.1
    """Highest learning rate."""
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

    precision: Precision = "auto"
    """Arithmetic; auto: mixed_bfloat16 on an accelerator, float32 on a CPU."""
    seed: int = 0
    """Of initial weights, order and augmentation."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), _HINTS[field.name])
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("crop_padding", 0),
            ("seed", 0),
            ("warmup_epochs", 0),
            ("weight_decay", 0),
        ):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)!r}")
        for name in ("cardinality", "base_width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected 1 or more, got {value!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: expected more than 0, got {self.learning_rate!r}")
        if not 0 < self.decay_factor <= 1:
            raise ValueError(f"decay_factor: expected over 0, to 1, got {self.decay_factor!r}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected 0 to less than 1, got {self.momentum!r}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a momentum above 0; raise it or set no-nesterov")
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"rotation_degrees: expected 0 to 180, got {self.rotation_degrees!r}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: expected fewer than epochs ({self.epochs}), "
                f"got {self.warmup_epochs!r}"
            )
        rising = sorted({epoch for epoch in self.milestones if epoch > 0})
        if list(self.milestones) != rising:
            raise ValueError(
                f"milestones: expected rising epochs, each 1 or more, got {self.milestones!r}"
            )
        if self.data_dir is not None and self.dataset == "demo":
            raise ValueError(
                "data_dir: the demo set is made by code and reads none, got "
                f"{str(self.data_dir)!r}; leave it out or choose dataset cifar100"
            )

    def to_json(self) -> str:
        """Write as JSON; `from_json` reads it back."""
        values = dataclasses.asdict(self)
        values["data_dir"] = None if self.data_dir is None else str(self.data_dir)
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read what `to_json` wrote; keys that are missing keep their defaults.

        Raises:
            ValueError: it is not JSON, a key is unknown, or a value does not fit.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, got {type(values).__name__}")
        if unknown := sorted(values.keys() - _HINTS.keys()):
            raise ValueError(
                f"unknown settings {', '.join(unknown)}; known are {', '.join(sorted(_HINTS))}"
            )
        if "milestones" in values:
            values["milestones"] = tuple(values["milestones"])
        if values.get("data_dir") is not None:
            values["data_dir"] = Path(values["data_dir"])
        return cls(**values)

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Settings":
        """Read a settings file.

        Raises:
            ValueError: it cannot be read or does not hold settings; the message names the file.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"settings file {os.fspath(path)!r}: {error}") from error


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Settings also come from files, where nothing else checks their types."""
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if not any(_fits(value, option) for option in options):
        wanted = " or ".join(_describe(option) for option in options)
        raise ValueError(f"{name}: expected {wanted}, got {value!r}")


def _fits(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is Literal:
        return isinstance(value, str) and value in typing.get_args(option)
    if typing.get_origin(option) is tuple:
        return isinstance(value, tuple) and all(_fits(item, int) for item in value)
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, option)


def _describe(option: Any) -> str:
    if typing.get_origin(option) is Literal:
        return "one of " + ", ".join(typing.get_args(option))
    if typing.get_origin(option) is tuple:
        return "whole numbers"
    names = {int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(option, "nothing" if option is type(None) else "a path")


def _is_union(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


_HINTS = typing.get_type_hints(Settings)
