"""The table of published weights, against what timm and torchvision state."""

from dataclasses import replace
from math import floor
from pathlib import Path

import keras
import pytest

from keras_resnext.architecture import Architecture
from keras_resnext.publishing import costs, presets_page, presets_table
from keras_resnext.weights.presets import (
    PRESETS,
    TIMM_NAMES,
    TOP1,
    TOP5,
    find_preset,
    list_presets,
)
from tests.peers import load_peers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="depends on no backend, and takes a while"
)
PAGE = Path(__file__).parents[2] / "docs" / "presets.md"
RESNEXT50 = Architecture((3, 4, 6, 3))
RESNEXT101 = Architecture((3, 4, 23, 3))
NETWORKS = sorted({name.partition(".")[0] for name in PRESETS})


def test_the_page_is_what_the_code_generates():
    assert PAGE.read_text(encoding="utf-8") == presets_page()


def test_the_table_names_all():
    lines = presets_table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == list_presets()
    assert sum(line.endswith("  imagenet") for line in lines) == 12
    assert list_presets() == ["cifar100", *PRESETS]
    assert list_presets("*50*.tv*") == ["resnext50_32x4d.tv_in1k", "resnext50_32x4d.tv2_in1k"]
    assert list_presets("resnet50*") == []


@pytest.mark.parametrize("name", PRESETS)
def test_timm_states_the_same(name):
    timm, torchvision = load_peers()
    preset, config = PRESETS[name], timm.models.get_pretrained_cfg(name)
    crop = preset.preprocessing
    assert config.hf_hub_id == f"timm/{name}"
    assert preset.source == f"https://huggingface.co/timm/{name}"
    assert preset.license.lower() == config.license
    assert preset.classes == config.num_classes == len(preset.class_names)
    assert crop.interpolation == config.interpolation
    assert crop.mean == pytest.approx([255 * value for value in config.mean])
    assert crop.std == pytest.approx([255 * value for value in config.std])
    assert crop.image_size == (config.test_input_size or config.input_size)[-1]
    if name != "resnext101_64x4d.tv_in1k":  # timm measures at 256; torchvision's figure is at 232
        crop_pct = config.test_crop_pct or config.crop_pct
        assert crop.resize_size == floor(crop.image_size / crop_pct)
    assert 0.7 < preset.accuracy[TOP1] < preset.accuracy[TOP5] < 1
    network, _, tag = name.partition(".")
    if tag.startswith("tv"):
        version = "V2" if tag == "tv2_in1k" else "V1"
        enum = getattr(torchvision.models, f"ResNeXt{network[7:].upper()}_Weights")
        weights = enum[f"IMAGENET1K_{version}"]
        stated = weights.meta["_metrics"]["ImageNet-1K"]
        assert [100 * preset.accuracy[key] for key in (TOP1, TOP5)] == pytest.approx(
            [stated["acc@1"], stated["acc@5"]]
        )
        assert crop.resize_size == weights.transforms().resize_size[0]


def test_nothing_that_timm_publishes_for_these_networks_is_missing():
    timm, _ = load_peers()
    published = {name for name in timm.list_pretrained() if name.partition(".")[0] in NETWORKS}
    assert published == set(PRESETS)
    assert all(timm.is_model(name) for name in TIMM_NAMES)
    assert set(NETWORKS) == TIMM_NAMES


@pytest.mark.parametrize("name", NETWORKS)
def test_timm_has_the_same_network(name):
    timm, _ = load_peers()
    import torch

    with torch.device("meta"):
        network = timm.create_model(name)
    preset = next(p for p in PRESETS.values() if p.name.startswith(f"{name}."))
    parameters, _ = costs(preset.architecture, 224, 1000)
    assert parameters == sum(weight.numel() for weight in network.parameters())
    first = network.layer1[0]
    assert preset.architecture.cardinality == first.conv2.groups
    assert preset.architecture.squeeze_excitation == (first.se is not None)
    pooled = "AvgPool" in str(network.layer2[0].downsample)
    assert (preset.architecture.shortcut == "average_pool") == pooled


@pytest.mark.parametrize(
    ("weights", "architecture", "name"),
    [
        ("resnext50_32x4d.a1_in1k", RESNEXT50, "resnext50_32x4d.a1_in1k"),
        ("a1_in1k", RESNEXT50, "resnext50_32x4d.a1_in1k"),
        ("a1", RESNEXT50, "resnext50_32x4d.a1_in1k"),
        # torchvision's newest, else the most accurate ones that are free.
        ("imagenet", RESNEXT50, "resnext50_32x4d.tv2_in1k"),
        ("imagenet", RESNEXT101, "resnext101_32x4d.gluon_in1k"),
        ("imagenet", replace(RESNEXT50, squeeze_excitation=True), "seresnext50_32x4d.racm_in1k"),
    ],
)
def test_found_by_name_tag_and_network(weights, architecture, name):
    assert find_preset(weights, architecture) is PRESETS[name]


@pytest.mark.parametrize(
    ("weights", "architecture", "message"),
    [
        ("a9", RESNEXT50, "none of that name for ResNeXt-50 32x4d; use one of 'imagenet', 'tv_in"),
        ("a9", RESNEXT101, "'gluon_in1k', .*'resnext101_32x4d.fb_swsl_ig1b_ft_in1k'"),
        ("fb_ssl_yfcc100m_ft_in1k", RESNEXT50, "forbids commercial use, so .* full name only: "),
        ("tv2_in1k", RESNEXT101, "belongs to .*resnext101_32x8d: pass base_width=8"),
        (
            "bt",
            replace(RESNEXT50, stem="deep"),
            "'bt' belongs to resnext50d_32x4d: pass shortcut='average_pool'; seresnext26",
        ),
        (
            "imagenet",
            replace(RESNEXT50, stem="cifar"),
            "no weights are published for ResNeXt-50 32x4d, CIFAR stem. The nearest are those of "
            "resnext50_32x4d: pass stem='imagenet'; ",
        ),
    ],
)
def test_other_words_are_explained(weights, architecture, message):
    with pytest.raises(ValueError, match=message):
        find_preset(weights, architecture)
