"""The features of a ResNeXt at several sizes, for detection, segmentation and explanation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import keras

_STEM_END = "stem_relu"
_BLOCK_END = re.compile(r"stage(\d+)_block\d+_out")
# What an image passes, whatever the form of the block; of parallel branches one is enough.
_MAIN_PATH = re.compile(r"stem_(conv\d*|pool)|stage\d+_block\d+(_branch1)?_conv\d")


@dataclass(frozen=True)
class FeatureInfo:
    """What the user of features has to know of them.

    Attributes:
        name: of the layer that puts them out.
        channels: how many.
        stride: pixels of the image, as the stem gets it, from one place to the next, down and
            across (timm's `reduction`). Sizes are those of the image, divided and rounded up.
    """

    name: str
    channels: int
    stride: int


def feature_info(model: keras.Model) -> list[FeatureInfo]:
    """Describe the features of a ResNeXt.

    Args:
        model: built by `keras_resnext.ResNeXt` or one of the named models, with top or without.

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
        elif layer.name == _STEM_END:
            features[0] = FeatureInfo(layer.name, channels, stride)
        elif block := _BLOCK_END.fullmatch(layer.name):
            features[int(block[1])] = FeatureInfo(layer.name, channels, stride)
    if len(features) < 2 or list(features) != list(range(len(features))):
        raise ValueError(
            f"model: expected a ResNeXt that keras_resnext built, got "
            f"{getattr(model, 'name', model)!r}, which has no layers {_STEM_END} and "
            "stage1_block1_out; of a model around a ResNeXt, give the ResNeXt itself"
        )
    return list(features.values())


def feature_extractor(model: keras.Model, stages: Sequence[int] | None = None) -> keras.Model:
    """Let a ResNeXt put out features at several sizes, as timm's `features_only=True` does.

    Args:
        model: built by `keras_resnext.ResNeXt` or one of the named models, with top or without.
        stages: as `feature_info` counts them; all by default. The C2 to C5 of a feature pyramid
            are `(1, 2, 3, 4)`.

    Returns:
        A model from the same inputs, by the same layers and weights, to the list of 4D features in
        the order of `stages`, channels where `model` has them. With one stage, to its features.

    Raises:
        ValueError: it is another model, or has no such stage.

    Example:
        >>> backbone = ResNeXt50(include_top=False, stem="imagenet")
        >>> c3, c4, c5 = feature_extractor(backbone, (2, 3, 4))(images)
    """
    info = feature_info(model)
    chosen = list(range(len(info))) if stages is None else list(stages)
    if not chosen or not set(chosen) <= set(range(len(info))):
        raise ValueError(
            f"stages: expected numbers from 0 (the stem) to {len(info) - 1} (the last stage of "
            f"{model.name}), got {stages}"
        )
    outputs = [model.get_layer(info[stage].name).output for stage in chosen]
    outputs = outputs if len(outputs) > 1 else outputs[0]
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def multiply_adds(model: keras.Model) -> int:
    """Return the multiply-adds (MACs) of one image's way through a network.

    Convolutions, grouped or not, and dense layers count, as in torchvision's tables; biases,
    normalization, activations and pooling do not.

    Args:
        model: a functional model of known image size, each layer called once, without nested
            models. The values of its weights do not matter.
    """
    counted = (keras.layers.Conv2D, keras.layers.Dense)
    # Each number of the output is a sum over all axes of the kernel but its last, the output's.
    return sum(
        prod(layer.output.shape[1:]) * prod(layer.kernel.shape[:-1])
        for layer in model.layers
        if isinstance(layer, counted)
    )
