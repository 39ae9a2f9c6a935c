"""What can be taken out of a built network: features at several sizes, weights, costs.

Weights move between the three forms of the block (Xie et al., figure 3 and section 4).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np

from keras_resnext import backend
from keras_resnext.files import few

T = TypeVar("T")

STEM_END = "stem_relu"
BLOCK_END = re.compile(r"stage(\d+)_block\d+_out")
# What an image passes, whatever the form of the block; of parallel branches one is enough.
_MAIN_PATH = re.compile(r"stem_(conv\d*|pool)|stage\d+_block\d+(_branch1)?_conv\d")
_BRANCH = re.compile(r"_branch(\d+)(?=_(?:conv|bn)\d$)")


@dataclass(frozen=True)
class FeatureInfo:
    """Name, channels and stride of one level of features.

    Attributes:
        name: of the layer that outputs them.
        channels: how many channels they have.
        stride: pixels of the image, as the stem gets it, from one place to the next, down and
            across (timm's `reduction`). Sizes are those of the image, divided and rounded up.
    """

    name: str
    channels: int
    stride: int


def feature_info(model: keras.Model) -> list[FeatureInfo]:
    """Return what features a ResNeXt has.

    Args:
        model: built by `keras_resnext`, with top or without.

    Returns:
        By stage, from 1: the output of its last block. First, at 0, the stem before it pools.

    Raises:
        ValueError: it is another model.
    """
    features: dict[int, FeatureInfo] = {}
    channels, stride = 0, 1
    for layer in getattr(model, "layers", []):
        if _MAIN_PATH.fullmatch(layer.name):
            channels = getattr(layer, "filters", channels)
            stride *= layer.strides[0]
        elif layer.name == STEM_END:
            features[0] = FeatureInfo(layer.name, channels, stride)
        elif block := BLOCK_END.fullmatch(layer.name):
            features[int(block[1])] = FeatureInfo(layer.name, channels, stride)
    if len(features) < 2 or list(features) != list(range(len(features))):
        raise ValueError(
            f"model: expected a ResNeXt that keras_resnext built, got "
            f"{getattr(model, 'name', model)!r}; of a model around one, give the ResNeXt itself"
        )
    return list(features.values())


def feature_extractor(model: keras.Model, stages: Sequence[int] | None = None) -> keras.Model:
    """Return a model that outputs features at several sizes, as timm's `features_only=True` does.

    Args:
        model: built by `keras_resnext`, with top or without, and of any checkpoint.
        stages: as `feature_info` counts them; all by default. The C2 to C5 of a feature pyramid
            are `(1, 2, 3, 4)`.

    Returns:
        A model from the same inputs, by the same layers and weights, to the list of 4D features in
        the order of `stages`, channels where `model` has them. With one stage, to its features.

    Raises:
        ValueError: it is another model, or has no such stage.

    Example:
        >>> backbone = from_preset("resnext50_32x4d.tv2_in1k", include_top=False)
        >>> c3, c4, c5 = feature_extractor(backbone, (2, 3, 4))(images)
    """
    info = feature_info(model)
    known = range(len(info))
    chosen = known if stages is None else list(stages) if isinstance(stages, Iterable) else []
    if not chosen or any(stage not in known for stage in chosen):
        raise ValueError(
            f"stages: expected a list of numbers from 0 (the stem) to {len(info) - 1} (the last "
            f"stage of {model.name}), got {stages}"
        )
    outputs = [model.get_layer(info[stage].name).output for stage in chosen]
    outputs = outputs if len(outputs) > 1 else outputs[0]
    extractor = keras.Model(model.input, outputs, name=f"{model.name}_features")
    backend.native.run_lean(extractor)
    return extractor


def transfer_weights(source: keras.Model, target: keras.Model) -> None:
    """Set `target`'s weights so that it computes what `source` computes, in its own form.

    Both are `ResNeXt` models that differ at most in `block`: what form (c) holds in one layer,
    form (a) and (b) hold in one layer per branch. Outputs agree to rounding.

    Raises:
        ValueError: if the models differ in more than the form of the block; nothing is written.
    """
    try:
        assign({layer.name: layer.get_weights() for layer in source.layers}, target.layers)
    except ValueError as error:
        raise ValueError(
            f"source {source.name!r} and target {target.name!r} must be ResNeXt models that differ "
            f"only in `block`: {error}"
        ) from None


def assign(
    arrays: Mapping[str, list[np.ndarray]],
    layers: Iterable[keras.Layer],
    optional: Sequence[str] = (),
) -> None:
    """Set the weights of a network's layers, whose block may have another form than theirs.

    Layers may be missing on either side where they are optional.

    Raises:
        ValueError: they do not fit; the message names the tensors. Nothing is written.
    """
    given = join_branches(arrays)
    wanted = _by_whole_layer((layer.name, layer) for layer in layers if layer.weights)
    missing = [name for name in wanted if name not in given and name not in optional]
    unknown = sorted(name for name in given if name not in wanted and name not in optional)
    whole = {name: given[name] for name in wanted if name in given}
    wrong = [text for name in whole for text in _wrong_shapes(name, whole[name], wanted[name])]
    problems = (("of another shape", wrong), ("missing", missing), ("unknown", unknown))
    if any(found for _, found in problems):
        raise ValueError("; ".join(f"{what}: {few(found)}" for what, found in problems if found))
    for name, weights in whole.items():
        count, axis = len(wanted[name]), _axis(name)
        parts = (np.array_split(a, count, axis) if count > 1 else [a] for a in weights)
        for layer, *share in zip(wanted[name], *parts, strict=True):
            layer.set_weights(share)


def join_branches(arrays: Mapping[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Bring the weights of layers, by their names in any form, into form (c)."""
    parts = _by_whole_layer((name, weights) for name, weights in arrays.items() if weights)
    return {
        name: [np.concatenate(pieces, _axis(name)) for pieces in zip(*branches, strict=True)]
        if len(branches) > 1
        else branches[0]
        for name, branches in parts.items()
    }


def _by_whole_layer(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Items by their layer's name in form (c), a layer's branches in order."""
    found: dict[str, dict[int, T]] = {}
    for name, item in items:
        branch = _BRANCH.search(name)
        found.setdefault(_BRANCH.sub("", name), {})[int(branch[1]) if branch else 1] = item
    return {name: [parts[index] for index in sorted(parts)] for name, parts in found.items()}


def _axis(name: str) -> int:
    """Along which axis of its weights a layer is cut into branches.

    A path owns outputs of the first two convolutions and inputs of the third.
    """
    return -2 if name.endswith("_conv3") else -1


def _wrong_shapes(name: str, whole: list[np.ndarray], layers: list[keras.Layer]) -> Iterable[str]:
    """Say which of a layer's tensors do not fit, with the shapes of form (c)."""
    variables = layers[0].weights
    if len(whole) != len(variables):
        yield f"{name} of {len(whole)} tensors, expected {len(variables)}"
    for array, variable in zip(whole, variables, strict=False):
        expected = list(variable.shape)
        if len(layers) > 1:
            expected[_axis(name)] *= len(layers)
        if array.shape != tuple(expected):
            yield f"{name}/{variable.name} {array.shape}, expected {tuple(expected)}"
