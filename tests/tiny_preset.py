"""Published weights of a network so small that a test can afford it."""

from dataclasses import asdict

from keras_resnext.architecture import Architecture
from keras_resnext.models import ResNeXt
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.presets import PRESETS, Preset
from keras_resnext.weights.cache import cache_folder
from keras_resnext.weights.keras_file import write_by_name
from keras_resnext.weights.naming import from_torch, to_torch

PRESET = Preset(
    name="resnext5_2x4d.tiny_in1k",
    architecture=Architecture(stage_blocks=(1,), cardinality=2),
    training="nothing at all",
    url="http://localhost:9/tiny.pth",
    digest="sha256:0123abcd",
    licence="CC-BY-NC-4.0",
    source="http://localhost:9/source",
    preprocessing=Preprocessing(32, 40, "bilinear"),
    top1=12.5,
    top5=None,
    accuracy_source="http://localhost:9/accuracy",
)


def publish(patch, home):
    """Add the preset to the table, and random weights to a cache in `home`; return their network.

    It takes normalised images, channels last, and gives probabilities.
    """
    patch.setenv("KERAS_HOME", str(home))
    patch.setitem(PRESETS, PRESET.name, PRESET)
    network = ResNeXt(**asdict(PRESET.architecture), input_shape=(32, 32, 3), classes=1000)
    cache_folder().mkdir(parents=True)
    write_by_name(cache_folder() / f"{PRESET.name}-0123abcd.h5", from_torch(to_torch(network)))
    return network
