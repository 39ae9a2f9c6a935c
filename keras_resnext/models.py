"""The `ResNeXt` builder and the named models (Xie et al., CVPR 2017, table 1 and section 5.3)."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
from keras import layers

from keras_resnext.architecture import Architecture
from keras_resnext.blocks import FORMS, STEM_CHANNELS, STEMS, Bottleneck, bottleneck, channel_axis
from keras_resnext.presets import PRESETS, Preset
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.loading import find_weights, load_weights, read_weights

REDUCES = ("dense", "grouped")
SHORTCUTS = ("projection", "average_pool")
CIFAR_SIZE = 32
IMAGENET_SIZE = 224
LARGEST_CIFAR_SIZE = 64  # pixels, of images that are small without a stem that shrinks them
POOLINGS = {
    "avg": layers.GlobalAveragePooling2D,
    "max": layers.GlobalMaxPooling2D,
}
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
    _check_architecture(architecture, block)
    _check_top(include_top, pooling, classes)
    source = find_weights(weights, architecture)
    _check_preset(source, include_top, classes)
    # A file tells how its network begins; a download waits until everything else is right.
    loaded = read_weights(source) if isinstance(source, Path) else None
    stem = stem or _stem_of(source, loaded)
    size = _size_of(source, stem) if include_top else None
    image = _input(input_tensor, input_shape, size)
    stem = stem or _stem_for(image)
    classes = classes or _classes(source, loaded, stem)
    _check_size(image, len(stage_blocks), stem)

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


def _check_architecture(architecture: Architecture, block: str) -> None:
    stage_blocks, cardinality = architecture.stage_blocks, architecture.cardinality
    if not stage_blocks or not all(_is_positive(count) for count in stage_blocks):
        raise ValueError(
            f"stage_blocks={stage_blocks!r} must hold the number of blocks of each stage, one or "
            "more, such as (3, 4, 6, 3)."
        )
    for argument in ("cardinality", "base_width"):
        if not _is_positive(value := getattr(architecture, argument)):
            raise ValueError(f"{argument}={value!r} must be a positive integer.")
    for argument, value, known in (
        ("stem", architecture.stem, STEMS),
        ("block", block, FORMS),
        ("reduce", architecture.reduce, REDUCES),
        ("shortcut", architecture.shortcut, SHORTCUTS),
    ):
        if value not in known:
            raise ValueError(f"{argument}={value!r} is unknown; use one of {_quoted(known)}.")
    if architecture.reduce == "grouped" and STEM_CHANNELS % cardinality:
        divisors = [c for c in range(1, STEM_CHANNELS + 1) if STEM_CHANNELS % c == 0]
        raise ValueError(
            f"cardinality={cardinality} does not divide the {STEM_CHANNELS} channels of the stem, "
            f'which reduce="grouped" splits into that many groups; use one of '
            f'{", ".join(map(str, divisors))}, or reduce="dense".'
        )


def _check_top(include_top, pooling, classes):
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"pooling={pooling!r} is unknown; use None or one of {_quoted(POOLINGS)}.")
    if classes is not None and not _is_positive(classes):
        raise ValueError(f"classes={classes!r} must be a positive integer.")


def _check_preset(source: Preset | Path | None, include_top, classes) -> None:
    if isinstance(source, Preset) and include_top and classes not in (None, source.classes):
        raise ValueError(
            f"classes={classes}: the classifier of weights={source.name!r} has {source.classes}; "
            "leave classes out, or build with include_top=False and add a classifier of your own."
        )


def _stem_of(source: Preset | Path | None, loaded: LayerWeights | None) -> str | None:
    if isinstance(source, Preset):
        return source.architecture.stem
    found = loaded.architecture() if loaded else None
    return found.stem if found else None


def _size_of(source: Preset | Path | None, stem: str | None) -> int:
    if isinstance(source, Preset):
        return source.preprocessing.image_size
    return CIFAR_SIZE if stem in (None, "cifar") else IMAGENET_SIZE


def _stem_for(image) -> str:
    height, width = _height_and_width(image.shape[1:])
    return "imagenet" if max(height or 0, width or 0) > LARGEST_CIFAR_SIZE else "cifar"


def _classes(source: Preset | Path | None, loaded: LayerWeights | None, stem: str) -> int:
    if isinstance(source, Preset):
        return source.classes
    return (loaded and loaded.classes) or (100 if stem == "cifar" else 1000)


def _input(input_tensor, input_shape, size):
    """The tensor to build on: the given one, or a new input."""
    if input_shape is not None and (
        len(input_shape) != 3 or not all(n is None or _is_positive(n) for n in input_shape)
    ):
        raise ValueError(
            f"input_shape={input_shape!r} must be the shape of one image, such as (32, 32, 3), in "
            f"the data format {keras.config.image_data_format()!r}; height and width may be None."
        )
    if input_tensor is None:
        first = keras.config.image_data_format() == "channels_first"
        return keras.Input(input_shape or ((3, size, size) if first else (size, size, 3)))
    if not keras.backend.is_keras_tensor(input_tensor):
        input_tensor = keras.Input(tensor=input_tensor)
    shape = tuple(input_tensor.shape[1:])
    if len(shape) != 3 or (input_shape is not None and shape != tuple(input_shape)):
        raise ValueError(
            f"input_tensor has the shape {tuple(input_tensor.shape)}, which does not fit "
            f"{'a batch of images' if input_shape is None else f'input_shape={input_shape!r}'}."
        )
    return input_tensor


def _check_size(image, stages, stem):
    if image.shape[channel_axis()] is None:
        raise ValueError(
            f"The input has the shape {tuple(image.shape)}: the number of channels must be known, "
            f"in the data format {keras.config.image_data_format()!r}."
        )
    smallest = (1 if stem == "cifar" else 4) * 2 ** (stages - 1)
    height, width = _height_and_width(image.shape[1:])
    if any(size is not None and size < smallest for size in (height, width)):
        raise ValueError(
            f"The input is {height}x{width} pixels; stem={stem!r} and {stages} stages divide the "
            f"size by {smallest}, so height and width must be at least {smallest}."
        )


def _height_and_width(shape):
    return shape[1:] if channel_axis() == 1 else shape[:2]


def _head_dtype():
    """Mixed precision keeps the logits, and the loss on them, in float32."""
    half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
    return "float32" if half else None


def _is_positive(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _quoted(names):
    return ", ".join(repr(name) for name in names)
