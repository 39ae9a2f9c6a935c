"""The `ResNeXt` builder and the named models (Xie et al., CVPR 2017, table 1 and section 5.3)."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
from keras import layers

from keras_resnext.architecture import Architecture
from keras_resnext.arguments import (
    POOLINGS,
    check_architecture,
    check_image,
    check_preset,
    check_top,
    classes_of,
    image_input,
    size_of,
    stem_for,
    stem_of,
)
from keras_resnext.blocks import FORMS, STEMS, Bottleneck, bottleneck
from keras_resnext.presets import PRESETS
from keras_resnext.weights.loading import find_weights, load_weights, read_weights

# PyTorch's `Linear`, which the published weights started from: uniform in +-1/sqrt(features).
HEAD_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


def ResNeXt(
    stage_blocks: Sequence[int],
    cardinality: int = 32,
    base_width: int = 4,
    stem: str | None = None,
    block: str = "grouped",
    reduce: str = "dense",
    shortcut: str = "projection",
    squeeze_excitation: bool = False,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "resnext",
) -> keras.Model:
    """Build a ResNeXt with the functional API.

    Args:
        stage_blocks: number of blocks in each stage. Stage s has 64 * 2**s planes (s from 0), puts
            out four times as many channels, and halves height and width, the first stage excepted.
        cardinality: paths a block (C in the paper), the groups of its 3x3 convolution.
        base_width: channels a path at 64 planes (d in the paper: "32x4d" is C=32, d=4). A path of
            a block with p planes has `p * base_width // 64` channels.
        stem: `"cifar"`, a 3x3 convolution at full size (section 5.3), or one that quarters the size
            by stride and max pooling: `"imagenet"`, a 7x7 convolution (table 1), `"deep"`, three
            of 3x3 (ResNet-D, He et al., CVPR 2019), or `"deep_tiered"`, three that widen (timm's
            "t"). Default: that of the weights; without any, `"imagenet"` for images of more than 64
            pixels, else `"cifar"`.
        block: form of the block, figure 3 of the paper; the three compute the same function, and
            `keras_resnext.transfer_weights` carries weights between them.
            `"grouped"` is (c), the fast one; `"concatenated"` is (b); `"branches"` is (a).
        reduce: `"dense"`, as in the paper, or `"grouped"`: the first 1x1 convolution of a block is
            grouped too, as in a widespread PyTorch implementation for CIFAR-100.
        shortcut: how a shortcut halves the size: `"projection"`, by the stride of its 1x1
            convolution, or `"average_pool"`, by 2x2 means before it (ResNet-D).
        squeeze_excitation: whether each block weighs its channels (SE-ResNeXt, Hu et al., CVPR
            2018).
        include_top: whether to end in pooling and a dense layer of `classes` outputs.
        weights: `None` for random weights; `"imagenet"`, the recommended ones of this network that
            are published; the name or tag of others, such as `"a1_in1k"` (docs/presets lists all);
            or a file: `.weights.h5`, `.keras`, or a `.pth`, `.safetensors` or `.h5` of torchvision,
            timm, keras-applications or the original code. Weights of one form of the block load
            into any.
        input_tensor: tensor to build on, instead of a new input.
        input_shape: shape of one image, in the current image data format, without the batch.
            Height and width may be `None`. Default: the size that published weights are used at;
            else 32x32x3 for the CIFAR stem, 224x224x3 for the others; without top, height and width
            are left open.
        pooling: without top, `None` for the 4D features, `"avg"` or `"max"` for 2D ones.
        classes: number of classes. Default: that of the weights; without any, 100 for the CIFAR
            stem, 1000 for the others.
        classifier_activation: of the last layer; `None` gives the logits.
        name: name of the model.

    Returns:
        A `keras.Model` from images (batch, height, width, channels), or channels first where
        `keras.config.image_data_format()` says so, normalised by the caller, to (batch, classes).
        The head computes in float32 under the mixed precision policies.

    Raises:
        ValueError: if an argument is unknown or impossible, or the weights do not fit; the message
            says which values work, or which tensors do not fit.
        ConnectionError: if published weights are not in the cache and cannot be downloaded.
    """
    architecture = Architecture(
        tuple(stage_blocks or ()),
        cardinality,
        base_width,
        stem or "imagenet",
        shortcut,
        squeeze_excitation,
        reduce,
    )
    check_architecture(architecture, block)
    check_top(include_top, pooling, classes)
    source = find_weights(weights, architecture)
    check_preset(source, include_top, classes)
    # A file tells how its network begins; a download waits until everything else is right.
    loaded = read_weights(source) if isinstance(source, Path) else None
    stem = stem or stem_of(source, loaded)
    size = size_of(source, stem) if include_top else None
    image = image_input(input_tensor, input_shape, size)
    stem = stem or stem_for(image)
    classes = classes or classes_of(source, loaded, stem)
    check_image(image, len(stage_blocks), stem, source)

    x = STEMS[stem](image)
    for stage, count in enumerate(stage_blocks, start=1):
        for index in range(1, count + 1):
            sizes = Bottleneck(
                planes=64 * 2 ** (stage - 1),
                stride=2 if stage > 1 and index == 1 else 1,
                cardinality=cardinality,
                base_width=base_width,
                grouped_reduce=reduce == "grouped",
                shortcut=shortcut,
                squeeze_excitation=squeeze_excitation,
                name=f"stage{stage}_block{index}",
            )
            x = bottleneck(x, sizes, FORMS[block])
    if include_top:
        x = POOLINGS["avg"](name="avg_pool")(x)
        x = layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=HEAD_INITIALIZER,
            dtype=_head_dtype(),
            name="predictions",
        )(x)
    elif pooling:
        x = POOLINGS[pooling](name=f"{pooling}_pool")(x)

    sources = keras.utils.get_source_inputs(image)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, x, name=name)
    if source is not None:
        load_weights(model, loaded or read_weights(source), source)
    return model


def _named(name: str, stage_blocks: Sequence[int], doc: str, *, grouped_stage_blocks=None, **sizes):
    """`ResNeXt` with fixed stages, and its arguments in the order of keras.applications."""
    default_name = name.lower()

    def build(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor=None,
        input_shape: tuple[int | None, int | None, int | None] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | None = "softmax",
        name: str = default_name,
        *,
        cardinality: int = sizes.get("cardinality", 32),
        base_width: int = sizes.get("base_width", 4),
        stem: str | None = None,
        block: str = "grouped",
        reduce: str = "dense",
        shortcut: str = "projection",
        squeeze_excitation: bool = False,
    ) -> keras.Model:
        grouped = reduce == "grouped" and grouped_stage_blocks
        return ResNeXt(
            grouped_stage_blocks if grouped else stage_blocks,
            cardinality=cardinality,
            base_width=base_width,
            stem=stem,
            block=block,
            reduce=reduce,
            shortcut=shortcut,
            squeeze_excitation=squeeze_excitation,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )

    build.__name__ = build.__qualname__ = name
    build.__doc__ = doc + _NAMED_DOC
    return build


_NAMED_DOC = """

    The arguments are those of `keras_resnext.ResNeXt`, in the order of `keras.applications`. With
    published `weights` or larger images, such as `input_shape=(224, 224, 3)`, the network is the
    paper's for ImageNet, as in torchvision.
    """

ResNeXt29 = _named(
    "ResNeXt29",
    (3, 3, 3),
    """ResNeXt-29 for CIFAR (section 5.3), 8x64d unless said otherwise; 16x64d is larger.""",
    cardinality=8,
    base_width=64,
)
ResNeXt50 = _named(
    "ResNeXt50",
    (3, 4, 6, 3),
    """ResNeXt-50 32x4d (table 1); with no argument, for CIFAR-100: 32x32x3 to 100 classes.""",
)
ResNeXt101 = _named(
    "ResNeXt101",
    (3, 4, 23, 3),
    """ResNeXt-101, 32x4d unless said otherwise (table 4); with no argument, for CIFAR-100.""",
)
ResNeXt152 = _named(
    "ResNeXt152",
    (3, 8, 36, 3),
    """ResNeXt-152 32x4d; with no argument, for CIFAR-100.

    The stages are those of ResNet-152: 3, 8, 36, 3 blocks. With `reduce="grouped"` they are
    3, 4, 36, 3: the PyTorch implementation for CIFAR-100 that groups the first 1x1 has four blocks
    in its second stage, and its published accuracy belongs to that network.""",
    grouped_stage_blocks=(3, 4, 36, 3),
)


def from_preset(
    preset: str,
    include_top: bool = True,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    pooling: str | None = None,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    *,
    block: str = "grouped",
) -> keras.Model:
    """Build the network of a published set of weights, and load them.

    Args:
        preset: full name, such as `"seresnext26d_32x4d.bt_in1k"`; docs/presets lists all.
        include_top: as of `ResNeXt`, like the following.
        input_tensor: tensor to build on.
        input_shape: shape of one image.
        pooling: without top, `None`, `"avg"` or `"max"`.
        classifier_activation: of the last layer; `None` gives the logits.
        name: name of the model. Default: that of the architecture.
        block: form of the block.

    Raises:
        ValueError: if there is no such set, or an argument is impossible.
        ConnectionError: if the weights are not in the cache and cannot be downloaded.
    """
    if preset not in PRESETS:
        raise ValueError(
            f"preset={preset!r} is unknown; published weights are {', '.join(PRESETS)}."
        )
    found = PRESETS[preset]
    return ResNeXt(
        **asdict(found.architecture),
        weights=found.name,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classifier_activation=classifier_activation,
        name=name or found.architecture_name,
        block=block,
    )


def from_file(
    path: str | os.PathLike, classifier_activation: str | None = "softmax", name: str | None = None
) -> keras.Model:
    """Build the network that a file's weights are of, and load them.

    Args:
        path: `.weights.h5`, `.keras`, or a `.pth`, `.safetensors` or `.h5` of torchvision, timm,
            keras-applications or the original code.
        classifier_activation: of the last layer; `None` gives the logits.
        name: name of the model. Default: that of the file.

    Returns:
        A `keras.Model` as `ResNeXt` gives it; without top where the file has no classifier.

    Raises:
        ValueError: the file is not there, cannot be read, or is of no ResNeXt.
    """
    path = Path(path).expanduser()
    weights = read_weights(path)
    architecture = weights.architecture()
    if architecture is None:
        raise ValueError(f"weights: {path} holds no whole ResNeXt")
    model = ResNeXt(
        **asdict(architecture),
        include_top=weights.classes is not None,
        classes=weights.classes,
        classifier_activation=classifier_activation,
        name=name or path.name.split(".")[0].replace("-", "_"),
    )
    load_weights(model, weights, path)
    return model


def _head_dtype():
    """Mixed precision keeps the logits, and the loss on them, in float32."""
    half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
    return "float32" if half else None
