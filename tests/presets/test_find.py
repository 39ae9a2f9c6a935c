import dataclasses

import pytest

from keras_resnext.architecture import Architecture
from keras_resnext.presets import PRESETS, find_preset, names
from keras_resnext.presets.table import IMAGENET

RESNEXT50 = Architecture((3, 4, 6, 3))
RESNEXT101 = Architecture((3, 4, 23, 3))


@pytest.mark.parametrize("weights", ["resnext50_32x4d.a1_in1k", "a1_in1k", "a1"])
def test_finds_by_name_and_tag(weights):
    assert find_preset(weights, RESNEXT50) is PRESETS["resnext50_32x4d.a1_in1k"]


@pytest.mark.parametrize("name", PRESETS)
def test_finds_every_preset_by_its_tag(name):
    preset = PRESETS[name]
    assert find_preset(preset.tag, preset.architecture) is preset


def test_imagenet_is_the_recommended_set():
    assert find_preset("imagenet", RESNEXT50).name == "resnext50_32x4d.tv2_in1k"
    assert find_preset("imagenet", RESNEXT101).name == "resnext101_32x4d.gluon_in1k"


@pytest.mark.parametrize("architecture", IMAGENET)
def test_imagenet_allows_commercial_use(architecture):
    (first, *_) = (p for p in PRESETS.values() if p.architecture_name == architecture)
    found = find_preset("imagenet", first.architecture)
    assert found.commercial_use
    assert found.architecture == first.architecture


@pytest.mark.parametrize("base_width", [16, 32, 48])
def test_imagenet_is_refused_where_nothing_allows_commercial_use(base_width):
    with pytest.raises(ValueError, match=r"CC-BY-NC-4\.0; .* one of .*'fb_wsl_ig1b_ft_in1k'"):
        find_preset("imagenet", dataclasses.replace(RESNEXT101, base_width=base_width))


def test_names_follow_the_architecture():
    assert names() == list(PRESETS)
    assert "resnext50_32x4d.a1_in1k" in names(RESNEXT50)
    assert names(RESNEXT101) == [name for name in PRESETS if name.startswith("resnext101_32x4d.")]
    assert names(Architecture((1, 1))) == []


@pytest.mark.parametrize(
    ("weights", "architecture", "message"),
    [
        ("a9", RESNEXT50, "'a9' is unknown; for resnext50_32x4d use one of 'imagenet', 'tv_in1k'"),
        ("a9", RESNEXT101, "'gluon_in1k', .*'fb_swsl_ig1b_ft_in1k', 'fb_in1k', 'keras_in1k'"),
        ("tv2_in1k", RESNEXT101, "'tv2_in1k' belongs to .*resnext101_32x8d: pass base_width=8"),
        (
            "resnext101_32x8d.tv2_in1k",
            RESNEXT101,
            "'resnext101_32x8d.tv2_in1k' belongs to resnext101_32x8d: pass base_width=8.$",
        ),
        (
            "bt",
            dataclasses.replace(RESNEXT50, stem="deep"),
            "'bt' belongs to resnext50d_32x4d: pass shortcut='average_pool'; seresnext26",
        ),
        (
            "imagenet",
            dataclasses.replace(RESNEXT50, stem="cifar"),
            r"no weights are published for Architecture\(.*nearest are those of "
            "resnext50_32x4d: pass stem='imagenet'; ",
        ),
        ("a9", Architecture((3, 3, 3), 8, 64, "cifar"), "no weights are published for"),
    ],
)
def test_other_words_are_explained(weights, architecture, message):
    with pytest.raises(ValueError, match=message):
        find_preset(weights, architecture)
