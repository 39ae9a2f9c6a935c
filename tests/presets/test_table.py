import re
from math import floor

import keras
import pytest

from keras_resnext.presets import PRESETS
from keras_resnext.presets.table import _ROWS, IMAGENET
from tests.peers import load_peers
from tests.presets.peers import timm_network

TORCHVISION = {
    "resnext50_32x4d.tv_in1k": ("ResNeXt50_32X4D_Weights", "IMAGENET1K_V1"),
    "resnext50_32x4d.tv2_in1k": ("ResNeXt50_32X4D_Weights", "IMAGENET1K_V2"),
    "resnext101_32x8d.tv_in1k": ("ResNeXt101_32X8D_Weights", "IMAGENET1K_V1"),
    "resnext101_32x8d.tv2_in1k": ("ResNeXt101_32X8D_Weights", "IMAGENET1K_V2"),
    "resnext101_64x4d.tv_in1k": ("ResNeXt101_64X4D_Weights", "IMAGENET1K_V1"),
}
# Neither torchvision nor timm lists these.
OTHERS = {
    "resnext101_32x48d.fb_wsl_ig1b_ft_in1k",
    "resnext50_32x4d.keras_in1k",
    "resnext101_32x4d.keras_in1k",
    "resnext101_32x4d.fb_in1k",
    "resnext101_64x4d.fb_in1k",
}
TIMM = sorted(PRESETS.keys() - OTHERS)


def test_names_and_files_are_unique():
    assert len(PRESETS) == len(_ROWS)
    assert len({preset.url for preset in _ROWS}) == len(_ROWS)
    assert len({preset.digest for preset in _ROWS}) == len(_ROWS)


def test_one_architecture_has_one_name():
    names = {preset.architecture: preset.architecture_name for preset in PRESETS.values()}
    assert all(names[p.architecture] == p.architecture_name for p in PRESETS.values())
    assert len(names) == len(set(names.values()))


@pytest.mark.parametrize("name", PRESETS)
def test_row_is_sound(name):
    preset = PRESETS[name]
    crop = preset.preprocessing
    file = preset.url.rpartition("/")[2]
    if file.endswith(".pth"):
        assert re.fullmatch("sha256:[0-9a-f]{8}", preset.digest)
        assert file.endswith(f"-{preset.digest.removeprefix('sha256:')}.pth")
    else:
        assert re.fullmatch("md5:[0-9a-f]{32}", preset.digest)
    assert crop.resize_size >= crop.image_size
    assert 70 < preset.top1 < preset.top5 < 100
    for page in (preset.source, preset.accuracy_source):
        assert page.startswith("https://")
    assert (preset.licence == "CC-BY-NC-4.0") == (not preset.commercial_use)
    assert preset.commercial_use or preset.tag.startswith(("fb_", "keras_"))


def test_imagenet_is_torchvisions_newest_else_the_most_accurate_that_is_free():
    for architecture in {preset.architecture_name for preset in PRESETS.values()}:
        free = [
            preset
            for preset in PRESETS.values()
            if preset.architecture_name == architecture and preset.commercial_use
        ]
        best = max(free, key=lambda p: (p.tag.startswith("tv"), p.top1), default=None)
        assert IMAGENET.get(architecture) == (best and best.tag)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_states_the_same(name):
    _, torchvision = load_peers()
    weights = getattr(torchvision.models, TORCHVISION[name][0])[TORCHVISION[name][1]]
    preset, transforms = PRESETS[name], weights.transforms()
    crop = preset.preprocessing
    assert preset.url == weights.url
    assert {"acc@1": preset.top1, "acc@5": preset.top5} == weights.meta["_metrics"]["ImageNet-1K"]
    assert (crop.image_size, crop.resize_size) == (*transforms.crop_size, *transforms.resize_size)
    assert crop.interpolation == transforms.interpolation.value
    assert crop.mean == pytest.approx([255 * value for value in transforms.mean])
    assert crop.std == pytest.approx([255 * value for value in transforms.std])
    assert TORCHVISION[name][1] in preset.training


@pytest.mark.parametrize("name", TIMM)
def test_timm_states_the_same(name):
    preset = PRESETS[name]
    crop = preset.preprocessing
    timm, _ = load_peers()
    config = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
    # The repository has changed hands: the old address redirects to the new one.
    assert preset.url == config.url.replace("rwightman/pytorch-image", "huggingface/pytorch-image")
    assert preset.licence.lower() == config.license
    assert preset.classes == config.num_classes
    assert crop.interpolation == config.interpolation
    assert crop.mean == pytest.approx([255 * value for value in config.mean])
    assert crop.std == pytest.approx([255 * value for value in config.std])
    assert crop.image_size == (config.test_input_size or config.input_size)[-1]
    if name != "resnext101_64x4d.tv_in1k":  # timm measures at 256; torchvision's figure is at 232
        crop_pct = config.test_crop_pct or config.crop_pct
        assert crop.resize_size == floor(crop.image_size / crop_pct)


def test_nothing_that_timm_publishes_for_these_architectures_is_missing():
    timm, _ = load_peers()
    architectures = {preset.architecture_name for preset in PRESETS.values()}
    published = {
        name for name in timm.models.list_pretrained() if name.partition(".")[0] in architectures
    }
    assert published == set(TIMM)


@pytest.mark.parametrize(("name", "keras_name"), [("50", "resnext50"), ("101", "resnext101")])
def test_keras_states_the_same(name, keras_name):
    hashes = keras.src.applications.resnet.WEIGHTS_HASHES
    preset = PRESETS[f"resnext{name}_32x4d.keras_in1k"]
    assert preset.digest == f"md5:{hashes[keras_name][0]}"
    assert preset.url.endswith(f"/{keras_name}_weights_tf_dim_ordering_tf_kernels.h5")


@pytest.mark.parametrize("name", sorted({preset.architecture_name for preset in PRESETS.values()}))
def test_timm_has_the_same_architecture(name):
    model = timm_network(name)
    (preset, *_) = (p for p in PRESETS.values() if p.architecture_name == name)
    ours = preset.architecture
    blocks = tuple(len(getattr(model, f"layer{stage}")) for stage in (1, 2, 3, 4))
    first = model.layer1[0]
    stem = [m.out_channels for m in model.conv1.modules() if hasattr(m, "out_channels")]
    averages = "AvgPool" in str(model.layer2[0].downsample)
    assert ours.stage_blocks == blocks
    assert ours.cardinality == first.conv2.groups
    assert ours.base_width == first.conv2.out_channels // ours.cardinality
    assert ours.squeeze_excitation == (first.se is not None)
    assert ours.shortcut == ("average_pool" if averages else "projection")
    stems = {"imagenet": [64], "deep": [32, 32], "deep_tiered": [24, 32]}
    assert stem[:2] == stems[ours.stem][:2]
    assert ours.reduce == "dense"
