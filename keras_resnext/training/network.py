"""From settings to a network."""

from dataclasses import asdict, replace

import keras

from keras_resnext.architecture import Architecture
from keras_resnext.arguments import LARGEST_CIFAR_SIZE, in_data_format
from keras_resnext.models import ResNeXt
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.presets import Preset
from keras_resnext.training.initial import architecture_of, check_agreement, find_initial
from keras_resnext.training.settings import Settings
from keras_resnext.weights.loading import FILES

# Each model by name, and what it is where neither settings nor weights say.
ARCHITECTURES: dict[str, Architecture] = {
    # Fit for a CPU: a quarter of the size after the stem, one block a stage.
    "resnext11": Architecture((1, 1, 1)),
    "resnext20": Architecture((2, 2, 2), stem="cifar"),
    "resnext26": Architecture((2, 2, 2, 2)),
    "resnext29": Architecture((3, 3, 3), cardinality=8, base_width=64, stem="cifar"),
    "resnext50": Architecture((3, 4, 6, 3), stem="cifar"),
    "resnext101": Architecture((3, 4, 23, 3), stem="cifar"),
    "resnext152": Architecture((3, 8, 36, 3), stem="cifar"),
}
GROUPED_STAGE_BLOCKS = {"resnext152": (3, 4, 36, 3)}  # as of `keras_resnext.ResNeXt152`
OPEN = ("cardinality", "base_width", "stem", "shortcut", "squeeze_excitation")


def resolved(settings: Settings) -> Settings:
    """Fill in what the settings leave to the weights to begin with, or else to the model.

    Weights become a preset's full name or the path of a file. The file is not needed where nothing
    is left open, as in the settings of a run.

    Raises:
        ValueError: the weights are not there, or are of another network than the settings name.
    """
    given = {name: value for name in OPEN if (value := getattr(settings, name)) is not None}
    own, weights, image_size = _own(settings), settings.weights, settings.image_size
    if weights is not None and (len(given) < len(OPEN) or not weights.endswith(FILES)):
        # Published networks have this stem, and the arguments of `Architecture` else.
        source = find_initial(weights, replace(own, **{"stem": "imagenet"} | given))
        weights = source.name if isinstance(source, Preset) else str(source)
        if found := architecture_of(source):
            always = {"stage_blocks": own.stage_blocks, "reduce": own.reduce}
            check_agreement(source, found, always | given)
            own = found
        if isinstance(source, Preset) and settings.dataset == "folder":
            image_size = image_size or source.preprocessing.image_size
    if settings.dataset == "folder":
        image_size = image_size or Preprocessing().image_size
    filled = {name: getattr(own, name) for name in OPEN} | given
    return replace(settings, weights=weights, image_size=image_size, **filled)


def _own(settings):
    """What the network is where neither weights nor settings say."""
    own = replace(ARCHITECTURES[settings.model], reduce=settings.reduce)
    if settings.reduce == "grouped" and settings.model in GROUPED_STAGE_BLOCKS:
        own = replace(own, stage_blocks=GROUPED_STAGE_BLOCKS[settings.model])
    size = settings.image_size or Preprocessing().image_size
    if settings.dataset == "folder" and size > LARGEST_CIFAR_SIZE:
        own = replace(own, stem="imagenet")
    return own


def architecture(settings: Settings) -> Architecture:
    """The network that the settings describe.

    Raises:
        ValueError: as `resolved`.
    """
    settings = resolved(settings)
    return replace(_own(settings), **{name: getattr(settings, name) for name in OPEN})


def build_network(
    settings: Settings,
    input_shape: tuple[int | None, int | None, int],
    classes: int,
    classifier_activation: str | None = "softmax",
) -> keras.Model:
    """Build the network that the settings describe, with fresh weights.

    Args:
        settings: `model`, `cardinality`, `base_width`, `stem`, `shortcut`, `squeeze_excitation`,
            `reduce`.
        input_shape: (height, width, channels).
        classes: how many.
        classifier_activation: "softmax", or None for logits, to train on; weights fit either.

    Raises:
        ValueError: the parts do not fit together.
    """
    return ResNeXt(
        **asdict(architecture(settings)),
        input_shape=in_data_format(input_shape),
        classes=classes,
        classifier_activation=classifier_activation,
        name=settings.model,
    )
