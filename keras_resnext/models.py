"""The `ResNeXt` builder and the named models (Xie et al., CVPR 2017, table 1 and section 5.3)."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import keras
from keras import layers

from keras_resnext import backend
from keras_resnext.architecture import STEMS, Architecture
from keras_resnext.architecture import stage_blocks as blocks_of
from keras_resnext.blocks import FORMS, STEM_CHANNELS, blocks, bottleneck, channel_axis
from keras_resnext.blocks import stem as _stem
from keras_resnext.checkpoint import Checkpoint, open_checkpoint
from keras_resnext.features import assign
from keras_resnext.weights.config import CONFIG
from keras_resnext.weights.layers import HEAD, OURS, LayerWeights
from keras_resnext.weights.presets import BUNDLED, differences, find_preset

POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
CIFAR_SIZE = 32  # pixels
IMAGENET_SIZE = 224
LARGEST_CIFAR_SIZE = 64  # of images that are small without a stem that shrinks them

# PyTorch's `Linear`, which the published weights started from: uniform in +-1/sqrt(features).
HEAD_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}
logger = logging.getLogger("keras_resnext")


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
    weights: str | os.PathLike | Checkpoint | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int | None] | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "resnext",
) -> keras.Model:
    """Build a ResNeXt with the functional API.

    Args:
        stage_blocks: number of blocks in each stage. Stage s has 64 * 2**s planes (s from 0), four
            times as many output channels, and halves height and width, except for the first.
        cardinality: paths per block (C in the paper), the groups of its 3x3 convolution.
        base_width: channels per path at 64 planes (d in the paper: "32x4d" is C=32, d=4). A path
            of a block with p planes has `p * base_width // 64` channels.
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
        squeeze_excitation: whether each block reweights its channels (SE-ResNeXt, Hu et al.,
            CVPR 2018).
        include_top: whether to end in pooling and a dense layer of `classes` outputs.
        weights: `None` for random weights; `"imagenet"`, the recommended ones of this network that
            are published; the tag of others, such as `"a1_in1k"` (docs/presets.md lists all); or a
            checkpoint: all that `keras_resnext.open_checkpoint` opens. Weights of one form of the
            block load into any.
        input_tensor: tensor to build on, instead of a new input.
        input_shape: shape of one image, in the current image data format, without the batch.
            Height and width may be `None`. Default: the size and channels that the weights are used
            with; else 32x32x3 for the CIFAR stem, 224x224x3 for the others; without top, height and
            width are left open.
        pooling: without top, `None` for the 4D features, `"avg"` or `"max"` for 2D ones.
        classes: number of classes. Other than the weights': the classifier is initialized afresh.
            Default: that of the weights; without any, 100 for the CIFAR stem, 1000 for the others.
        classifier_activation: of the last layer; `None` gives the logits.
        name: name of the model.

    Returns:
        A `keras.Model` from images (batch, height, width, channels), or channels first where
        `keras.config.image_data_format()` says so, normalized by the caller, to (batch, classes).
        The head computes in float32 under the mixed precision policies.

    Raises:
        ValueError: if an argument is unknown or impossible, or the weights do not fit; the message
            says which values work, or which tensors do not fit.
        ConnectionError: if published weights are not in the cache and cannot be downloaded.
    """
    numbers = tuple(stage_blocks) if isinstance(stage_blocks, Iterable) else ()
    if not numbers or not all(map(_is_positive, numbers)):
        raise ValueError(
            f"stage_blocks={stage_blocks!r} must hold the number of blocks of each stage, one or "
            "more, such as (3, 4, 6, 3)."
        )
    given = (cardinality, base_width, stem or "imagenet", shortcut, squeeze_excitation, reduce)
    architecture = Architecture(numbers, *given)
    _check(architecture, block, pooling, classes)
    shape = _image_shape(input_tensor, input_shape)
    source = _find(weights, architecture)
    if stem is None:
        sizes = _height_and_width(shape) if shape else ()
        is_large = any(size and size > LARGEST_CIFAR_SIZE for size in sizes)
        default = "imagenet" if is_large else "cifar"
        architecture = replace(architecture, stem=source.architecture.stem if source else default)
    if source and (wrong := differences(source.architecture, architecture)):
        raise ValueError(
            f"weights: {source.name} is of {source.architecture}; build with {wrong}, or by "
            "keras_resnext.from_preset."
        )
    is_cifar = architecture.stem == "cifar"
    channels = source.channels if source else 3
    size = None
    if include_top:
        size = CIFAR_SIZE if is_cifar else IMAGENET_SIZE
        if source and source.preprocessing:
            size = source.preprocessing.image_size
    image = input_tensor
    if image is None:
        image = keras.Input(shape or in_data_format((size, size, channels)))
    _check_image(image, architecture, source)
    classes = classes or (source and source.classes) or (100 if is_cifar else 1000)
    loaded = source.weights() if source else None  # all is checked before a download

    x = _stem(image, architecture.stem)
    for sizes in blocks(architecture):
        x = bottleneck(x, sizes, FORMS[block])
    if include_top:
        x = POOLINGS["avg"](name="avg_pool")(x)
        # Mixed precision keeps the logits, and the loss on them, in float32.
        half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
        x = layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=HEAD_INITIALIZER,
            dtype="float32" if half else None,
            name=HEAD,
        )(x)
    elif pooling:
        x = POOLINGS[pooling](name=f"{pooling}_pool")(x)
    sources = keras.utils.get_source_inputs(image)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, x, name=name)
    backend.native.run_lean(model)
    if source and loaded:
        load_weights(model, loaded, source.name, any_head=True)
        if include_top and classes != source.classes:
            had = f"a classifier for {source.classes}" if source.classes else "no classifier"
            logger.warning("%s has %s: the one for %d is random", source.name, had, classes)
    return model


def from_preset(
    checkpoint: str | os.PathLike | Checkpoint,
    include_top: bool = True,
    classes: int | None = None,
    *,
    name: str | None = None,
    **arguments: Any,
) -> keras.Model:
    """Build the network of a checkpoint, and load its weights.

    Args:
        checkpoint: a built-in preset, such as `"cifar100"`, which comes with this package, or
            `"resnext50_32x4d.a1_in1k"` (docs/presets.md lists all); `"hf://owner/name"`, a
            repository in timm's layout; the folder of a run; or a file: `.safetensors`,
            `.weights.h5`, `.keras`, `.pth`.
        include_top: whether to end in pooling and a classifier.
        classes: number of classes. Other than the checkpoint's: the classifier is initialized
            afresh. Default: the checkpoint's; where it has no classifier, the network has none.
        name: of the model. Default: that of the checkpoint.
        **arguments: of `ResNeXt`, which returns the model: `input_shape`, `input_tensor`,
            `pooling`, `classifier_activation`, `block`. Size and channels of the images are the
            checkpoint's by default.

    Raises:
        ValueError: there is no such checkpoint, or an argument is impossible.
        ConnectionError: the weights are not in the cache, and cannot be downloaded.
        ImportError: they are in a `.pth`, and PyTorch is not installed.
    """
    source = open_checkpoint(checkpoint)
    if include_top and classes is None and source.classes is None:
        logger.warning("%s has no classifier: built without top; pass classes=N", source.source)
        include_top = False
    return ResNeXt(
        **asdict(source.architecture),
        include_top=include_top,
        weights=source,
        classes=classes,
        name=name or _model_name(source.name),
        **arguments,
    )


def load_weights(
    model: keras.Model, weights: LayerWeights, source: str, *, any_head: bool = False
) -> None:
    """Set the weights of a `ResNeXt`, its blocks in any form, with or without the classifier.

    Layers of the user's in it stay as they are, and with `any_head` a classifier for other classes.

    Raises:
        ValueError: they do not fit; the message names the tensors. Nothing is changed.
    """
    core = [layer for layer in model.layers if OURS.match(layer.name)]
    heads = [layer.units for layer in core if layer.name == HEAD]
    arrays = dict(weights.arrays)
    if not heads or (any_head and weights.classes != heads[0]):
        arrays.pop(HEAD, None)
    pooled = any(layer.name.endswith("_shortcut_pool") for layer in core)
    several = any(layer.name.startswith("stage2_") for layer in core)
    try:
        if several and pooled != (weights.shortcut == "average_pool"):
            raise ValueError(f'they are of a network with shortcut="{weights.shortcut}"')
        assign(arrays, core, optional=[HEAD] if any_head else [])
    except ValueError as error:
        raise ValueError(
            f"weights: {source} does not fit {model.name}: {error}. They are those of "
            f"{weights.architecture}."
        ) from None


def _model_name(name: str) -> str:
    """The part of a checkpoint's name before the first dot, in characters that TensorFlow takes."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name.split(".")[0]).strip("_") or "resnext"


def _find(weights, architecture) -> Checkpoint | None:
    """The checkpoint that `weights=` stands for."""
    if weights is None or isinstance(weights, Checkpoint):
        return weights
    text = os.fspath(weights)
    on_disk = os.path.isfile(text) or os.path.isfile(os.path.join(text, CONFIG))
    # What is not on disk: a folder of images may be "imagenet".
    is_tag = re.fullmatch(r"\w+", text) and text not in BUNDLED and not on_disk
    return find_preset(text, architecture) if is_tag else open_checkpoint(weights)


def in_data_format(shape: tuple) -> tuple:
    """(height, width, channels) in the order of the current image data format."""
    first = keras.config.image_data_format() == "channels_first"
    return (shape[2], *shape[:2]) if first else shape


def _check(architecture: Architecture, block, pooling, classes) -> None:
    """Make sure that a network can be built so."""
    cardinality = architecture.cardinality
    numbers = {"cardinality": cardinality, "base_width": architecture.base_width}
    for argument, value in (numbers | {"classes": 1 if classes is None else classes}).items():
        if not _is_positive(value):
            raise ValueError(f"{argument}={value!r} must be a positive integer.")
    for argument, value, known in (
        ("stem", architecture.stem, STEMS),
        ("block", block, FORMS),
        ("reduce", architecture.reduce, ("dense", "grouped")),
        ("shortcut", architecture.shortcut, ("projection", "average_pool")),
        ("pooling", pooling, (None, *POOLINGS)),
    ):
        if value not in known:
            words = ", ".join(map(repr, known))
            raise ValueError(f"{argument}={value!r} is unknown; use one of {words}.")
    if architecture.reduce == "grouped" and STEM_CHANNELS % cardinality:
        raise ValueError(
            f"cardinality={cardinality} does not divide the {STEM_CHANNELS} channels of the stem, "
            'as reduce="grouped" needs; use a power of 2, 1 to 64, or reduce="dense".'
        )


def _image_shape(input_tensor, input_shape) -> tuple[int | None, ...] | None:
    """Shape of one image, where the arguments say it."""
    shape = tuple(input_shape) if isinstance(input_shape, Iterable) else input_shape
    fits = isinstance(shape, tuple) and len(shape) == 3
    if shape is not None and not (fits and all(n is None or _is_positive(n) for n in shape)):
        raise ValueError(
            f"input_shape={input_shape!r} must be the shape of one image, such as (32, 32, 3), in "
            f"the data format {keras.config.image_data_format()!r}; height and width may be None."
        )
    if input_tensor is None:
        return shape
    if not keras.backend.is_keras_tensor(input_tensor):
        raise ValueError(
            "input_tensor must be symbolic, such as keras.Input((32, 32, 3)), and is a "
            f"{type(input_tensor).__name__}; call the model on that."
        )
    found = tuple(input_tensor.shape[1:])
    if len(found) != 3 or shape not in (None, found):
        raise ValueError(
            f"input_tensor has the shape {tuple(input_tensor.shape)}, which does not fit "
            f"{'a batch of images' if shape is None else f'input_shape={input_shape!r}'}."
        )
    return found


def _check_image(image, architecture: Architecture, source: Checkpoint | None) -> None:
    """Make sure that the weights are for such images, and these can go through all stages."""
    channels = image.shape[channel_axis()]
    if channels is None or (source and channels != source.channels):
        wanted = f"{source.channels} of {source.name}" if source else "a number"
        raise ValueError(
            f"The input has the shape {tuple(image.shape)} in the data format "
            f"{keras.config.image_data_format()!r}: its channels must be {wanted}."
        )
    stem, stages = architecture.stem, len(architecture.stage_blocks)
    smallest = (1 if stem == "cifar" else 4) * 2 ** (stages - 1)
    height, width = _height_and_width(image.shape[1:])
    if any(size is not None and size < smallest for size in (height, width)):
        raise ValueError(
            f"The input is {height}x{width} pixels; stem={stem!r} and {stages} stages divide the "
            f"size by {smallest}, so height and width must be at least {smallest}."
        )


def _height_and_width(shape):
    return shape[1:] if channel_axis() == 1 else shape[:2]


def _is_positive(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _named(name: str, doc: str, **sizes: int):
    """`ResNeXt` with the stages of a name, and its arguments in the order of keras.applications."""
    default_name = name.lower()

    def build(
        include_top: bool = True,
        weights: str | os.PathLike | Checkpoint | None = None,
        input_tensor=None,
        input_shape: tuple[int | None, int | None, int | None] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | None = "softmax",
        name: str = default_name,
        **architecture,
    ) -> keras.Model:
        return ResNeXt(
            blocks_of(default_name, architecture.get("reduce", "dense")),
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            **sizes | architecture,
        )

    build.__name__ = build.__qualname__ = name
    build.__doc__ = doc + _NAMED_DOC
    return build


_NAMED_DOC = """

    The arguments are those of `keras_resnext.ResNeXt`, in the order of `keras.applications`; those
    of the architecture (`cardinality`, `base_width`, `stem`, ...) by keyword only. With published
    `weights` or larger images, such as `input_shape=(224, 224, 3)`, the network is the paper's for
    ImageNet, as in torchvision; with no argument, it is for CIFAR-100.
    """

ResNeXt29 = _named(
    "ResNeXt29",
    "ResNeXt-29 for CIFAR (section 5.3), 8x64d unless said otherwise; 16x64d is larger.",
    cardinality=8,
    base_width=64,
)
ResNeXt50 = _named("ResNeXt50", "ResNeXt-50, 32x4d unless said otherwise (table 1).")
ResNeXt101 = _named("ResNeXt101", "ResNeXt-101, 32x4d unless said otherwise (table 4).")
ResNeXt152 = _named(
    "ResNeXt152",
    """ResNeXt-152, 32x4d unless said otherwise.

    The stages are those of ResNet-152: 3, 8, 36, 3 blocks. With `reduce="grouped"` they are
    3, 4, 36, 3: the PyTorch implementation for CIFAR-100 that groups the first 1x1 has four blocks
    in its second stage, and its published accuracy belongs to that network.""",
)
