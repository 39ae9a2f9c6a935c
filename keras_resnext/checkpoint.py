"""`Checkpoint`: a trained network, with all that is needed to use it; opened from any source.

A checkpoint on disk is a folder in timm's layout: `config.json` beside `model.safetensors`. What
timm has no word for stands in `config.json` under the key `keras_resnext`.
"""

import json
import logging
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_resnext.architecture import Architecture, from_timm_name, timm_name
from keras_resnext.files import atomic_write, escape, write_json
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names
from keras_resnext.weights.files import SUFFIXES, read_weights, write_weights
from keras_resnext.weights.layers import Checkpoint, LayerWeights
from keras_resnext.weights.presets import PRESETS, TIMM_NAMES, near

CONFIG = "config.json"
WEIGHTS = {"best": "model.safetensors", "last": "last.safetensors"}
OURS = "keras_resnext"
HUB = "hf://"
logger = logging.getLogger("keras_resnext")


def open_checkpoint(name: str | os.PathLike | Checkpoint, which: str = "best") -> Checkpoint:
    """Find out what a name stands for; weights are read, and downloaded, when they are asked for.

    Args:
        name: a built-in preset (`"resnext50_32x4d.a1_in1k"`); `"hf://owner/name"`, a repository in
            timm's layout on the Hugging Face hub; the folder of a run, or any in timm's layout; or
            a file: `.safetensors`, `.weights.h5`, `.keras`, `.pth`. What exists on disk goes
            before a preset of the same name.
        which: weights of a run: `"best"` or `"last"`.

    Raises:
        ValueError: it stands for nothing, or what it stands for is damaged or no ResNeXt.
        ConnectionError: a repository's `config.json` cannot be downloaded; says what to do.
        ImportError: it is a `.pth`, and PyTorch is not installed.
    """
    if isinstance(name, Checkpoint):
        return name
    if which not in WEIGHTS:
        raise ValueError(f"which={which!r}: expected one of {', '.join(map(repr, WEIGHTS))}")
    text = os.fspath(name)
    if text.startswith(HUB):
        return _of_repository(text.removeprefix(HUB))
    path = Path(text).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # no possible path
        is_folder = is_file = False
    if is_file:
        return _of_file(path)
    if is_folder and ((path / CONFIG).is_file() or text not in PRESETS):
        return _of_folder(path, WEIGHTS[which])
    if text in PRESETS:
        return PRESETS[text]
    raise ValueError(
        f"checkpoint '{escape(text)[:200]}': expected a preset's name, {HUB}OWNER/NAME, a run's "
        f"folder, or a file ({', '.join(SUFFIXES)}); found nothing of that name{near(text)}"
    )


def _of_repository(name: str) -> Checkpoint:
    from keras_resnext.weights import hub

    repository, _, revision = name.partition("@")
    config = hub.download(repository, CONFIG, revision or None)
    return _from_config(
        config,
        name=name,
        source=f"https://huggingface.co/{repository}",
        folder=Path("runs", *repository.split("/")),
        read=lambda: read_weights(hub.download(repository, WEIGHTS["best"], revision or None)),
    )


def _of_folder(folder: Path, file: str) -> Checkpoint:
    for needed in (CONFIG, file):
        if not (folder / needed).is_file():
            raise ValueError(
                f"checkpoint {folder}: there is no {needed} in this folder; a run has it once its "
                "first epoch is finished"
            )
    return _from_config(
        folder / CONFIG,
        name=folder.resolve().name,
        source=str(folder),
        folder=folder,
        read=lambda: read_weights(folder / file),
    )


def _of_file(path: Path) -> Checkpoint:
    if path.name in WEIGHTS.values() and (path.parent / CONFIG).is_file():
        return _of_folder(path.parent, path.name)
    weights = read_weights(path)
    architecture = weights.architecture()
    assert architecture is not None  # or reading would have failed
    return Checkpoint(
        name=path.name.split(".")[0],
        architecture=architecture,
        preprocessing=None,
        class_names=None,
        classes=weights.classes,
        license=None,
        source=str(path),
        trained_on=None,
        accuracy={},
        folder=path.parent,
        read=lambda: weights,
    )


def write_checkpoint(
    folder: str | os.PathLike,
    model: keras.Model,
    *,
    preprocessing: Preprocessing | None,
    class_names: tuple[str, ...] | list[str] | None,
    trained_on: str | None = None,
    license: str | None = None,
    accuracy: dict[str, float] | None = None,
    name: str | None = None,
    weights_file: str = "model.safetensors",
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a network as a checkpoint folder, each file atomically.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` gives the same logits, for networks
    that timm has: not those with the CIFAR stem or grouped 1x1 convolutions.

    Args:
        folder: is made if it does not exist.
        model: a `ResNeXt`, or one that holds one, under any dtype policy.
        preprocessing: from an image to the input of the network.
        class_names: by label.
        trained_on: data set and procedure in words.
        license: SPDX identifier of the weights.
        accuracy: fractions by what they are of.
        name: of the checkpoint. Default: the folder's.
        weights_file: file name of the weights.
        extra: more to keep under the key `keras_resnext`; JSON values.

    Raises:
        ValueError: the model is no ResNeXt, or the class names are not as many as its classes.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    weights = LayerWeights.of_model(model)
    if class_names is not None and weights.classes not in (None, len(class_names)):
        raise ValueError(
            f"class_names: expected {weights.classes} names, one per class of {model.name!r}, got "
            f"{len(class_names)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    architecture = weights.architecture()
    assert architecture is not None  # or `of_model` would have failed
    checkpoint = Checkpoint(
        name=name or folder.resolve().name,
        architecture=architecture,
        preprocessing=preprocessing,
        class_names=tuple(class_names) if class_names is not None else None,
        classes=weights.classes,
        license=license,
        source=str(folder),
        trained_on=trained_on,
        accuracy=accuracy or {},
        folder=folder,
        read=lambda: weights,
    )
    write_weights(folder / weights_file, weights)
    write_config(folder, checkpoint, extra)


def write_config(folder: Path, checkpoint: Checkpoint, extra: dict[str, Any] | None = None) -> None:
    """Write `config.json` in timm's layout, atomically.

    Args:
        folder: of the checkpoint.
        checkpoint: what to say, such as `replace(open_checkpoint(folder), accuracy={...})`.
        extra: more to keep under the key `keras_resnext`; None keeps what the file has.
    """
    path = folder / CONFIG
    if extra is None and path.is_file():
        extra = {
            key: value for key, value in _read_config(path).get(OURS, {}).items() if key not in _OWN
        }
    write_json(path, _to_config(checkpoint, extra or {}))


def convert(checkpoint: str | os.PathLike | Checkpoint, target: str | os.PathLike) -> None:
    """Write a checkpoint's weights to a file, read it back and compare.

    Args:
        checkpoint: as of `open_checkpoint`.
        target: `NAME.safetensors` or `NAME.pth` for torchvision and timm; `NAME.weights.h5` or
            `NAME.keras` for Keras; a name without suffix for a folder in timm's layout.

    Raises:
        ValueError: `checkpoint` is none, or `target` has another suffix or is the source itself.
        OSError: `target` cannot be written.
        RuntimeError: it was written, and holds other numbers than the source.
    """
    source, target = open_checkpoint(checkpoint), Path(target)
    if target.suffix and not target.name.endswith(SUFFIXES):
        raise ValueError(
            f"target: expected NAME{', NAME'.join(SUFFIXES)} or a folder, got {target}"
        )
    if not target.absolute().parent.is_dir():
        raise ValueError(f"target: {target.parent} is no folder; make it first")
    if target.exists() and os.path.exists(source.source) and target.samefile(source.source):
        raise ValueError(f"target: {target} is the source; give another name")
    weights = source.weights()
    if not target.suffix:
        write_folder(target, source, weights)
        target /= WEIGHTS["best"]
    elif target.suffix in (".safetensors", ".pth"):
        write_weights(target, weights)
    else:
        from keras_resnext.models import from_preset  # builds on this module

        model = from_preset(
            replace(source, read=lambda: weights), include_top=source.classes is not None
        )
        with atomic_write(target) as temporary:
            write = model.save if target.suffix == ".keras" else model.save_weights
            write(temporary)
    found = read_weights(target).arrays
    if found.keys() != weights.arrays.keys() or not all(
        np.array_equal(one, other, equal_nan=True)
        for name, arrays in weights.arrays.items()
        for one, other in zip(arrays, found[name], strict=True)
    ):
        raise RuntimeError(f"{target} holds other numbers than {source.source}; remove it")


def push_to_hub(
    checkpoint: str | os.PathLike | Checkpoint,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Push a checkpoint to the Hugging Face hub, in timm's layout and with a model card.

    Args:
        checkpoint: as of `open_checkpoint`.
        repo_id: `"owner/name"`; the repository is made if it does not exist.
        private: whether a new repository is.
        token: of the user. Default: that of `hf auth login` or `HF_TOKEN`.

    Returns:
        URL of the repository.

    Raises:
        ValueError: the checkpoint is none, or the repository is not this user's to write to.
        ConnectionError: the hub cannot be reached.
    """
    from keras_resnext.weights import hub

    source = open_checkpoint(checkpoint)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        named = replace(source, name=repo_id)
        write_folder(folder, named, source.weights())
        usage = f'keras_resnext.from_preset("{HUB}{repo_id}")'
        card = _front_matter(source) + model_card(named, how=f"```python\nmodel = {usage}\n```")
        (folder / "README.md").write_text(card, encoding="utf-8")
        return hub.upload(folder, repo_id, private=private, token=token)


def write_folder(folder: Path, checkpoint: Checkpoint, weights: LayerWeights) -> None:
    """Write weights and `config.json` to a folder, which is made if it does not exist."""
    folder.mkdir(exist_ok=True)
    write_weights(folder / WEIGHTS["best"], weights)
    write_config(folder, checkpoint)


def model_card(checkpoint: Checkpoint, *, how: str = "") -> str:
    """Return a model card in Markdown.

    Args:
        checkpoint: what it is of.
        how: how to use it, in Markdown.
    """
    parts = [f"# {escape(checkpoint.name)}", f"{checkpoint.architecture}."]
    if checkpoint.trained_on:
        parts.append(f"Trained on {escape(checkpoint.trained_on)}.")
    if how:
        parts += ["## Use", how]
    if crop := checkpoint.preprocessing:
        mean, std = (", ".join(f"{value:g}" for value in pixel) for pixel in (crop.mean, crop.std))
        parts += [
            "## Preprocessing",
            f"RGB pixels, 0 to 255. The shorter side is resized to {crop.resize_size} pixels "
            f"({crop.interpolation}, antialiased), {crop.image_size}x{crop.image_size} pixels are "
            f"cropped at the center, the mean ({mean}) is subtracted and the result is divided by "
            f"the standard deviation ({std}).",
        ]
    for name, value in checkpoint.accuracy.items():
        parts.append(f"Accuracy, {escape(name)}: {100 * value:.2f} %.")
    if names := checkpoint.class_names:
        listed = ", ".join(f"`{escape(name)}`" for name in names[:100])
        parts += ["## Classes", f"{len(names)}: {listed}{', ...' if len(names) > 100 else ''}"]
    return "\n\n".join([*parts, "## License", checkpoint.license or "Not stated."]) + "\n"


def _front_matter(checkpoint: Checkpoint) -> str:
    library = "timm" if _to_timm(checkpoint.architecture)[0] else "keras"
    lines = [
        "---",
        f"library_name: {library}",
        "pipeline_tag: image-classification",
        "tags: [image-classification, keras, keras_resnext, timm]",
    ]
    if checkpoint.license:
        lines.append(f"license: {json.dumps(checkpoint.license.lower())}")
    return "\n".join([*lines, "---", "", ""])


_OWN = ("name", "architecture", "trained_on", "accuracy")  # of our key; the rest is extra
_LARGEST_CONFIG = 2**24  # bytes; ImageNet-21k's class names take less than one million
# Arguments of timm's networks that do not change what they compute for inference.
_NEUTRAL = {"num_classes", "in_chans", "drop_rate", "drop_path_rate", "drop_block_rate",
            "zero_init_last", "pretrained", "img_size"}  # fmt: skip
_TIMM_STEMS = {"": "imagenet", "deep": "deep", "deep_tiered": "deep_tiered"}


def _to_config(checkpoint: Checkpoint, extra: dict[str, Any]) -> dict[str, Any]:
    architecture, preprocessing = checkpoint.architecture, checkpoint.preprocessing
    name, arguments = _to_timm(architecture)
    own: dict[str, Any] = {
        "name": checkpoint.name,
        "trained_on": checkpoint.trained_on,
        "accuracy": checkpoint.accuracy,
    }
    if name is None:
        own["architecture"] = asdict(architecture)
    pretrained: dict[str, Any] = {
        "num_classes": checkpoint.classes or 0,
        "first_conv": "conv1.0" if architecture.stem.startswith("deep") else "conv1",
        "classifier": "fc",
        "pool_size": None,
    }
    if checkpoint.license:
        pretrained["license"] = checkpoint.license.lower()
    if preprocessing:
        size = preprocessing.image_size
        pretrained |= {
            "input_size": [3, size, size],
            "fixed_input_size": False,
            "interpolation": preprocessing.interpolation,
            "crop_pct": _crop_pct(size, preprocessing.resize_size),
            "crop_mode": "center",
            "mean": [round(value / 255, 12) for value in preprocessing.mean],
            "std": [round(value / 255, 12) for value in preprocessing.std],
        }
    config = {
        "architecture": name or OURS,
        "num_classes": checkpoint.classes or 0,
        "num_features": 256 * 2 ** (len(architecture.stage_blocks) - 1),
        "global_pool": "avg",
        "model_args": arguments,
        "pretrained_cfg": pretrained,
        OURS: extra | own,
    }
    if checkpoint.class_names is not None:
        config["label_names"] = list(checkpoint.class_names)
    return config


def _to_timm(architecture: Architecture) -> tuple[str | None, dict[str, Any]]:
    """Return timm's name for a network and the arguments it needs; (None, {}) where it has none."""
    name = timm_name(architecture)
    if name in TIMM_NAMES:
        return name, {}
    blocks = architecture.stage_blocks
    if architecture.stem == "cifar" or architecture.reduce == "grouped" or len(blocks) > 4:
        return None, {}
    # timm's networks have four stages; empty ones do nothing if they keep the width.
    empty = 4 - len(blocks)
    arguments = {
        "layers": [*blocks, *[0] * empty],
        "channels": [64 * 2**stage for stage in range(len(blocks))]
        + [64 * 2 ** (len(blocks) - 1)] * empty,
        "cardinality": architecture.cardinality,
        "base_width": architecture.base_width,
        "avg_down": architecture.shortcut == "average_pool",
        "block_args": {"attn_layer": "se"} if architecture.squeeze_excitation else {},
    }
    if architecture.stem != "imagenet":
        arguments |= {"stem_type": architecture.stem, "stem_width": 32}
    return "resnext50_32x4d", arguments


def _from_timm(name: str, arguments: dict[str, Any]) -> Architecture:
    """Return the network that timm builds by a name and arguments."""
    architecture = from_timm_name(name)
    given = {key: value for key, value in arguments.items() if key not in _NEUTRAL}
    blocks = list(given.pop("layers", architecture.stage_blocks))
    while blocks and blocks[-1] == 0:
        blocks.pop()
    stem, width = given.pop("stem_type", None), given.pop("stem_width", None)
    changes = {
        "stage_blocks": tuple(blocks),
        "cardinality": given.pop("cardinality", architecture.cardinality),
        "base_width": given.pop("base_width", architecture.base_width),
        "stem": architecture.stem if stem is None else _TIMM_STEMS.get(stem, stem),
    }
    if "avg_down" in given:
        changes["shortcut"] = "average_pool" if given.pop("avg_down") else "projection"
    if given.get("block_args") in ({}, {"attn_layer": "se"}):
        changes["squeeze_excitation"] = bool(given.pop("block_args"))
    found = replace(architecture, **changes)
    expected = {"channels": _to_timm_channels(found), "global_pool": "avg", "output_stride": 32}
    strange = [key for key, value in given.items() if expected.get(key) != value]
    if width not in (None, 32) and found.stem.startswith("deep"):
        strange.append("stem_width")
    if found.stem not in _TIMM_STEMS.values():
        strange.append("stem_type")
    if strange:
        raise ValueError(
            f"model_args {', '.join(f'{key}={arguments[key]!r}' for key in strange)}: "
            "keras_resnext has no such ResNeXt"
        )
    return found


def _to_timm_channels(architecture):
    return _to_timm(replace(architecture, cardinality=3))[1]["channels"]


def _crop_pct(size: int, resize_size: int) -> float:
    """Return the share from which timm computes `resize_size`: `floor(size / crop_pct)`."""
    share = size / resize_size
    return share if math.floor(size / share) == resize_size else math.nextafter(share, 0)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError(f"it has more than {_LARGEST_CONFIG:,} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get(OURS, {}), dict):
            raise ValueError("expected a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or no checkpoint's: {error}") from error
    return config


def _from_config(path: Path, name: str, **where: Any) -> Checkpoint:
    """Read `config.json`, ours or any by timm."""
    config = _read_config(path)
    own = config.get(OURS, {})
    try:
        pretrained = config.get("pretrained_cfg", config)  # timm's older files have one level
        if described := own.get("architecture"):
            described["stage_blocks"] = tuple(described["stage_blocks"])
            architecture = Architecture(**described)
        else:
            architecture = _from_timm(config["architecture"], config.get("model_args") or {})
        classes = int(config.get("num_classes", pretrained.get("num_classes", 1000)))
        names = _class_names(config, pretrained, classes, f"{config['architecture']} {name}")
        return Checkpoint(
            name=str(own.get("name") or name),
            architecture=architecture,
            preprocessing=_preprocessing(pretrained),
            class_names=names,
            classes=classes or None,
            license=pretrained.get("license"),
            trained_on=own.get("trained_on"),
            accuracy={str(key): float(value) for key, value in own.get("accuracy", {}).items()},
            **where,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: {reason}") from error


def _class_names(config, pretrained, classes, told):
    names = config.get("label_names") or pretrained.get("label_names")
    if isinstance(names, dict):  # by label, as text
        names = [names.get(str(label)) for label in range(classes)]
    if names is not None and len(names) == classes:
        return tuple(escape(str(name)) for name in names)
    if names is not None:
        logger.warning("%s: left out label_names, %d for %d classes", told, len(names), classes)
    told += f" {pretrained.get('tag')}"
    return imagenet_class_names() if classes == 1000 and "in1k" in told else None


def _preprocessing(pretrained: dict[str, Any]) -> Preprocessing | None:
    """What timm evaluates with; at the larger test size where one is given."""
    if "mean" not in pretrained:
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
            "mean": [round(255 * float(value), 9) for value in pretrained["mean"]],
            "std": [round(255 * float(value), 9) for value in pretrained["std"]],
        }
    )
