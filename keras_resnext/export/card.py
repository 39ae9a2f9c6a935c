"""The model card: what an export is, for those who serve it."""

import json
import platform

import keras

from keras_resnext.data import Dataset
from keras_resnext.export.interface import Interface
from keras_resnext.export.verification import IMAGES
from keras_resnext.training.environment import versions
from keras_resnext.training.trained import Trained

SOURCES = {
    "cifar100": "CIFAR-100 (Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html). Its "
    "authors state no licence and ask to be cited.",
    "demo": "a set of drawn textures and shapes, made by code: no rights of others.",
}


def model_card(
    trained: Trained,
    dataset: Dataset,
    interface: Interface,
    network: keras.Model,
    differences: dict[str, float],
    command: str,
) -> str:
    """Write the card, in Markdown.

    Args:
        trained: what was exported.
        dataset: that it was trained on.
        interface: what a client meets.
        network: as it was trained, in float32.
        differences: that verification found.
        command: what the user typed.
    """
    preprocessing = interface.preprocessing
    size = preprocessing.image_size
    mean, std = _numbers(preprocessing.mean), _numbers(preprocessing.std)
    shape = f"(batch, {size}, {size}, 3)"
    found = ", ".join(f"{kind} {value:.1e}" for kind, value in differences.items())
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"""# {interface.name}

{network.name}, {network.count_params():,} parameters, {len(interface.class_names)} classes,
trained on {trained.preset.training if trained.preset else dataset.name}.

## Use

| signature | takes | gives |
|---|---|---|
| `serving_default` | `images`: float32 {shape} | `logits`, `probabilities` |
| `serve_uint8` | `images`: uint8 {shape} | `logits`, `probabilities` |
| `serve_bytes` | `image_bytes`: JPEG, PNG, GIF or WebP files of any size | `classes`, `scores` |

## Preprocessing, all of it inside

Pixels are RGB, 0 to 255. Each channel has its mean subtracted, {mean}, and is divided by its
standard deviation, {std}.

The shorter side of a file's image is scaled to {preprocessing.resize_size} pixels,
{preprocessing.interpolation} with antialiasing, and {size}x{size} pixels are cut out of the centre.
Of an animation the first frame counts; transparency, and the orientation that EXIF names, are
ignored.

## Accuracy

{_accuracy(trained)}

## Licence

{_licence(trained, dataset)}

## How it was made

`{command}`, from `{trained.path}` under {keras.config.backend()}; Python
{platform.python_version()}, {packages}.

Batch normalisation is folded into the convolutions. In a process without Keras and without XLA,
on up to {IMAGES} images, the largest differences from the trained network were: {found}.
"""


def _numbers(values):
    return ", ".join(f"{value:.4g}" for value in values)


def _licence(trained, dataset):
    if preset := trained.preset:
        use = "" if preset.commercial_use else ", which forbids commercial use"
        return f"The weights, from {preset.source}, are under {preset.licence}{use}."
    source = SOURCES.get(dataset.name, f"{dataset.name}, whose licence is not known here.")
    return (
        f"Trained on {source}\nThe weights belong to whoever trained them; no licence of theirs is "
        "known here."
    )


def _accuracy(trained):
    """What the run, or the publisher, measured of these very weights."""
    if preset := trained.preset:
        if preset.top1 is None:
            return "None is published."
        top5 = "" if preset.top5 is None else f" and {preset.top5} % top-5"
        return (
            f"{preset.top1} % top-1{top5} on the validation images of ImageNet-1k, as published "
            f"({preset.accuracy_source})."
        )
    results = trained.folder / "results.json"
    which = {"best.weights.h5": "best", "model.keras": "best", "last.weights.h5": "last"}
    name = which.get(trained.path.name)
    if name is None or not results.is_file():
        return "Not known: no results of a run lie beside the weights."
    measured = json.loads(results.read_text(encoding="utf-8"))
    top1, top5 = measured[f"test_accuracy_{name}"], measured[f"test_top5_accuracy_{name}"]
    return f"{top1:.2%} top-1 and {top5:.2%} top-5 on the test split, as the run measured."
