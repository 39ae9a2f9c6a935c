"""The `ResNeXt` builder and the named models."""

import os
from collections.abc import Sequence

import keras
from keras import layers

from keras_resnext import blocks

TOTAL_STRIDE_OF_STEM = {"cifar": 1, "imagenet": 4}
DEFAULT_SIZE = {"cifar": 32, "imagenet": 224}


def ResNeXt(
    stage_blocks: Sequence[int],
    cardinality: int = 32,
    base_width: int = 4,
    stem: str = "cifar",
    block: str = "grouped",
    reduce: str = "dense",
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    pooling: str | None = None,
    classes: int = 100,
    classifier_activation: str | None = "softmax",
    name: str = "resnext",
) -> keras.Model:
    x = inputs = keras.Input(input_shape or (32, 32, 3))
    x = blocks.STEMS[stem](x)
    for stage, count in enumerate(stage_blocks):
        for index in range(count):
            x = blocks.bottleneck(
                x,
                blocks.Bottleneck(
                    planes=64 * 2**stage,
                    stride=2 if stage and not index else 1,
                    cardinality=cardinality,
                    base_width=base_width,
                    grouped_reduce=reduce == "grouped",
                    name=f"stage{stage + 1}_block{index + 1}",
                ),
                blocks.FORMS[block],
            )
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return keras.Model(inputs, x, name=name)
