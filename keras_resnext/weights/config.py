"""`config.json`: what a checkpoint is, in timm's layout, written and read.

What timm has no word for stands under the key `keras_resnext`.
"""

import json
import logging
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from keras_resnext.architecture import Architecture, from_timm_name
from keras_resnext.files import escape
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names
from keras_resnext.weights.layers import Checkpoint
from keras_resnext.weights.presets import TIMM_NAMES

CONFIG = "config.json"
OURS = "keras_resnext"
logger = logging.getLogger("keras_resnext")

_LARGEST_CONFIG = 2**24  # bytes; ImageNet-21k's class names take less than one million
# Arguments of timm's networks that do not change what they compute for inference.
_NEUTRAL = {"num_classes", "in_chans", "drop_rate", "drop_path_rate", "drop_block_rate",
            "zero_init_last", "pretrained", "img_size"}  # fmt: skip
_TIMM_STEMS = {"": "imagenet", "deep": "deep", "deep_tiered": "deep_tiered"}


def to_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what `config.json` holds."""
    architecture, preprocessing = checkpoint.architecture, checkpoint.preprocessing
    name, arguments = to_timm(architecture)
    classes = {"num_classes": checkpoint.classes or 0}
    pretrained: dict[str, Any] = classes | {
        "first_conv": "conv1.0" if architecture.stem.startswith("deep") else "conv1",
        "classifier": "fc",
        "pool_size": None,
    }
    if checkpoint.license:
        pretrained["license"] = checkpoint.license.lower()
    if preprocessing:
        size = preprocessing.image_size
        pretrained |= {
            "input_size": [checkpoint.channels, size, size],
            "fixed_input_size": False,
            "interpolation": preprocessing.interpolation,
            "crop_pct": _crop_pct(size, preprocessing.resize_size),
            "crop_mode": "center",
            "mean": [round(value / 255, 12) for value in preprocessing.mean],
            "std": [round(value / 255, 12) for value in preprocessing.std],
        }
    elif checkpoint.channels != 3:
        arguments = arguments | {"in_chans": checkpoint.channels}
    names = checkpoint.class_names
    return {
        "architecture": name or OURS,
        **classes,
        "num_features": 256 * 2 ** (len(architecture.stage_blocks) - 1),
        "global_pool": "avg",
        "model_args": arguments,
        "pretrained_cfg": pretrained,
        OURS: {
            "name": checkpoint.name,
            "trained_on": checkpoint.trained_on,
            "accuracy": checkpoint.accuracy,
            **({"architecture": asdict(architecture)} if name is None else {}),
        },
        **({"label_names": list(names)} if names is not None else {}),
    }


def to_timm(architecture: Architecture) -> tuple[str | None, dict[str, Any]]:
    """Return timm's name for a network and the arguments it needs; (None, {}) where it has none."""
    for name in TIMM_NAMES:
        if from_timm_name(name) == architecture:
            return name, {}
    blocks = architecture.stage_blocks
    if architecture.stem == "cifar" or architecture.reduce == "grouped" or len(blocks) > 4:
        return None, {}
    arguments = {
        "layers": [*blocks, *[0] * (4 - len(blocks))],
        "channels": _channels(architecture),
        "cardinality": architecture.cardinality,
        "base_width": architecture.base_width,
        "avg_down": architecture.shortcut == "average_pool",
        "block_args": {"attn_layer": "se"} if architecture.squeeze_excitation else {},
    }
    if architecture.stem != "imagenet":
        arguments |= {"stem_type": architecture.stem, "stem_width": 32}
    return "resnext50_32x4d", arguments


def from_timm(name: str, arguments: dict[str, Any]) -> Architecture:
    """Return the network that timm builds by a name and arguments."""
    architecture = from_timm_name(name)
    given = {key: value for key, value in arguments.items() if key not in _NEUTRAL}
    blocks = list(given.pop("layers", architecture.stage_blocks))
    while blocks and blocks[-1] == 0:
        blocks.pop()
    changes: dict[str, Any] = {"stage_blocks": tuple(blocks)}
    for key in ("cardinality", "base_width"):
        if key in given:
            changes[key] = given.pop(key)
    if given.get("stem_type") in _TIMM_STEMS:
        changes["stem"] = _TIMM_STEMS[given.pop("stem_type")]
    if "avg_down" in given:
        changes["shortcut"] = "average_pool" if given.pop("avg_down") else "projection"
    if given.get("block_args") in ({}, {"attn_layer": "se"}):
        changes["squeeze_excitation"] = bool(given.pop("block_args"))
    found = replace(architecture, **changes)
    width = 32 if found.stem.startswith("deep") else given.get("stem_width")
    expected = {"channels": _channels(found), "global_pool": "avg", "output_stride": 32}
    expected |= {"stem_width": width}
    if strange := [key for key, value in given.items() if expected.get(key) != value]:
        raise ValueError(
            f"model_args {', '.join(f'{key}={arguments[key]!r}' for key in strange)}: "
            "keras_resnext has no such ResNeXt"
        )
    return found


def _channels(architecture: Architecture) -> list[int]:
    """Of the stages; timm's empty ones do nothing if they keep the width."""
    last = len(architecture.stage_blocks) - 1
    return [64 * 2 ** min(stage, last) for stage in range(4)]


def _crop_pct(size: int, resize_size: int) -> float:
    """Return the share from which timm computes `resize_size`: `floor(size / crop_pct)`."""
    share = size / resize_size
    return share if math.floor(size / share) == resize_size else math.nextafter(share, 0)


def read_config(path: Path) -> dict[str, Any]:
    """Read a `config.json`, by us or by timm; a ValueError says what is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError(f"it has more than {_LARGEST_CONFIG:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get(OURS, {}), dict):
            raise ValueError("expected a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or no checkpoint's: {error}") from error
    return config


def from_config(path: Path, name: str, **where: Any) -> Checkpoint:
    """Read `config.json`, ours or any by timm."""
    config = read_config(path)
    own = config.get(OURS, {})
    try:
        pretrained = config.get("pretrained_cfg", config)  # timm's older files have one level
        if described := own.get("architecture"):
            described["stage_blocks"] = tuple(described["stage_blocks"])
            architecture = Architecture(**described)
        else:
            architecture = from_timm(config["architecture"], config.get("model_args") or {})
        classes = int(config.get("num_classes", pretrained.get("num_classes", 1000)))
        channels = pretrained.get("input_size", [3])[0]
        names = _class_names(config, pretrained, classes, f"{config['architecture']} {name}")
        return Checkpoint(
            name=str(own.get("name") or name),
            architecture=architecture,
            preprocessing=_preprocessing(pretrained),
            class_names=names,
            classes=classes or None,
            channels=int((config.get("model_args") or {}).get("in_chans") or channels),
            license=pretrained.get("license"),
            trained_on=own.get("trained_on"),
            accuracy={str(key): float(value) for key, value in own.get("accuracy", {}).items()},
            **where,
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: {reason}") from error


def _class_names(config, pretrained, classes, told):
    names = config.get("label_names") or pretrained.get("label_names")
    if isinstance(names, dict):  # by label, as text, with gaps where timm has no name
        names = [names.get(str(label), label) for label in range(classes)]
    if names is not None and len(names) == classes:
        return tuple(escape(str(name)) for name in names)
    if names is not None:
        logger.warning("%s: left out label_names, %d for %d classes", told, len(names), classes)
    told += f" {pretrained.get('tag')}"
    return imagenet_class_names() if classes == 1000 and "in1k" in told else None


def _preprocessing(pretrained: dict[str, Any]) -> Preprocessing | None:
    """What timm evaluates with; at the larger test size where one is given."""
    if len(pretrained.get("mean", ())) not in (1, 3):  # of gray images or RGB
        return None
    _, height, width = pretrained.get("test_input_size") or pretrained["input_size"]
    if height != width:
        raise ValueError(f"input_size: expected a square, got {height}x{width}")
    share = pretrained.get("test_crop_pct") or pretrained.get("crop_pct", 0.875)
    bilinear = pretrained.get("interpolation", "bicubic") == "bilinear"
    return Preprocessing.from_dict(
        {
            "image_size": height,
            "resize_size": math.floor(height / share),
            "interpolation": "bilinear" if bilinear else "bicubic",
            **{
                key: [round(255 * float(value), 9) for value in 3 * pretrained[key]][:3]
                for key in ("mean", "std")
            },
        }
    )
