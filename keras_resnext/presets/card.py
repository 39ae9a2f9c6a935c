"""The model card of one set of published weights."""

from dataclasses import fields

from keras_resnext.architecture import Architecture
from keras_resnext.presets.counts import Counts
from keras_resnext.presets.preset import Preset

LICENCES = {
    "BSD-3-Clause": "any use, commercial use too, as long as its text goes along",
    "Apache-2.0": "any use, commercial use too, as long as its text and a list of changes go along",
    "CC-BY-NC-4.0": "**no commercial use**; who passes them on names the authors and the licence",
}
STEMS = {
    "deep": "a stem of three 3x3 convolutions",
    "deep_tiered": "a stem of three 3x3 convolutions that widen",
}


def preset_card(preset: Preset, counts: Counts) -> str:
    """Write the card, in Markdown."""
    crop = preset.preprocessing
    return f"""# {preset.name}

{describe(preset.architecture)}. Trained on {preset.training}.
Published at <{preset.source}>.

## Use

```python
import keras_resnext

model = {by_name(preset)}
```

The same, with all arguments:

```python
model = {by_arguments(preset)}
```

`python scripts/predict.py {preset.name} photo.jpg` says what a picture shows.

## Size

| | |
|---|---|
| parameters | {counts.parameters:,} |
| moving statistics | {counts.statistics:,} |
| multiply-adds an image | {counts.multiply_adds:,} |
| input | {crop.image_size}x{crop.image_size} pixels |
| classes | {preset.classes:,} |

Counted from the network's graph; the multiply-adds are those of convolutions and dense layers.

## Preprocessing

Pixels are RGB, 0 to 255. The shorter side is scaled to {crop.resize_size} pixels, \
{crop.interpolation} with antialiasing; {crop.image_size}x{crop.image_size} pixels are cut out of \
the centre. Each channel has its mean subtracted, {_numbers(crop.mean)}, and is divided by its \
standard deviation, {_numbers(crop.std)}.

## Accuracy

{_accuracy(preset)}

## Licence

[{preset.licence}](https://spdx.org/licenses/{preset.licence}.html): \
{LICENCES[preset.licence]}. Whether the terms of the images that they were trained on bind the \
weights too is for their user to find out.

## File

<{preset.url}>

{_digest(preset)}
"""


def describe(architecture: Architecture) -> str:
    """Say in words what network it is."""
    depth = 3 * sum(architecture.stage_blocks) + 2
    excited = "SE-" if architecture.squeeze_excitation else ""
    name = f"{excited}ResNeXt-{depth} {architecture.cardinality}x{architecture.base_width}d"
    parts = [STEMS[architecture.stem]] if architecture.stem in STEMS else []
    if architecture.shortcut == "average_pool":
        parts.append("shortcuts that shrink by 2x2 means")
    return f"{name} with {' and '.join(parts)}" if parts else name


def by_name(preset: Preset) -> str:
    """The call that builds the network by the preset's name, in Python."""
    return _call("keras_resnext.from_preset", [f'"{preset.name}"'])


def by_arguments(preset: Preset) -> str:
    """The call that builds the network by its arguments, and loads these weights."""
    arguments = [
        f"{field.name}={_literal(getattr(preset.architecture, field.name))}"
        for field in fields(Architecture)
        if getattr(preset.architecture, field.name) != field.default
    ]
    arguments.append(f"weights={_literal(preset.tag)}")
    return _call("keras_resnext.ResNeXt", arguments)


def _call(function, arguments):
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"{function}(\n{lines})" if len(arguments) > 1 else f"{function}({arguments[0]})"


def _literal(value):
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _numbers(values):
    return ", ".join(f"{value:g}" for value in values)


def _accuracy(preset):
    if preset.top1 is None:
        return "None is published."
    return (
        f"{preset.top1} % top-1 and {preset.top5} % top-5 on the validation images of ImageNet-1k, "
        f"as published at <{preset.accuracy_source}>."
    )


def _digest(preset):
    if preset.digest is None:
        return "Its publisher states no digest: what is downloaded cannot be checked."
    kind, digits = preset.digest.split(":")
    if kind == "md5":
        return f"What is downloaded is checked: its MD5 must be `{digits}`."
    return (
        f"What is downloaded is checked: its SHA-256 must begin with `{digits}`, the end of the "
        "file's name."
    )
