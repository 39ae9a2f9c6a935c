import pytest

from keras_resnext.architecture import Architecture
from keras_resnext.presets import PRESETS, find_preset
from keras_resnext.presets.card import LICENCES, by_arguments, describe, preset_card
from keras_resnext.presets.counts import Counts
from keras_resnext.presets.preset import Preset


class Recorder:
    """In place of `keras_resnext` in the code of a card."""

    def ResNeXt(self, **arguments):
        return arguments


@pytest.mark.parametrize("name", PRESETS)
def test_the_code_names_network_and_weights(name):
    preset = PRESETS[name]
    arguments = eval(by_arguments(preset), {"keras_resnext": Recorder()})
    assert find_preset(arguments.pop("weights"), Architecture(**arguments)) is preset


def test_every_licence_is_explained():
    assert LICENCES.keys() == {preset.licence for preset in PRESETS.values()}
    for licence, meaning in LICENCES.items():
        assert ("no commercial use" in meaning) == ("-NC-" in licence)


def test_a_card_tells_what_is_in_the_table():
    preset = PRESETS["resnext50_32x4d.a3_in1k"]
    card = preset_card(preset, Counts(25_028_904, 68_224, 4_230_479_872))
    for words in (
        "# resnext50_32x4d.a3_in1k\n",
        "| parameters | 25,028,904 |",
        "| multiply-adds an image | 4,230,479,872 |",
        "scaled to 235 pixels, bicubic with antialiasing; 224x224 pixels",
        "123.675, 116.28, 103.53",
        "79.268 % top-1 and 94.306 % top-5",
        "[Apache-2.0]",
        f"<{preset.url}>",
        "must begin with `3e450271`",
    ):
        assert words in card


def test_a_card_says_what_is_not_published():
    arguments = vars(PRESETS["resnext50_32x4d.a3_in1k"]) | dict(top1=None, top5=None, digest=None)
    card = preset_card(Preset(**arguments), Counts(1, 1, 1))
    assert "None is published." in card
    assert "cannot be checked" in card
    assert "None %" not in card


def test_networks_are_described():
    by_name = {preset.architecture_name: preset.architecture for preset in PRESETS.values()}
    assert describe(by_name["resnext101_64x4d"]) == "ResNeXt-101 64x4d"
    assert describe(by_name["seresnext26t_32x4d"]) == (
        "SE-ResNeXt-26 32x4d with a stem of three 3x3 convolutions that widen and shortcuts that "
        "shrink by 2x2 means"
    )
