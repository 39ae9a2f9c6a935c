"""The table of published weights. Whoever adds a row states its source; no number is estimated."""

from functools import partial
from math import floor
from typing import Any

from keras_resnext.architecture import Architecture
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.presets.preset import Preset

_26 = (2, 2, 2, 2)
_50 = (3, 4, 6, 3)
_101 = (3, 4, 23, 3)
_D: dict[str, Any] = {"stem": "deep", "shortcut": "average_pool"}
_T: dict[str, Any] = {"stem": "deep_tiered", "shortcut": "average_pool"}
_SE: dict[str, Any] = {"squeeze_excitation": True}

# Under timm's names.
_ARCHITECTURES: dict[str, Architecture] = {
    "resnext50_32x4d": Architecture(_50),
    "resnext50d_32x4d": Architecture(_50, **_D),
    "resnext101_32x4d": Architecture(_101),
    "resnext101_32x8d": Architecture(_101, base_width=8),
    "resnext101_32x16d": Architecture(_101, base_width=16),
    "resnext101_32x32d": Architecture(_101, base_width=32),
    "resnext101_32x48d": Architecture(_101, base_width=48),
    "resnext101_64x4d": Architecture(_101, cardinality=64),
    "seresnext26d_32x4d": Architecture(_26, **_D, **_SE),
    "seresnext26t_32x4d": Architecture(_26, **_T, **_SE),
    "seresnext50_32x4d": Architecture(_50, **_SE),
    "seresnext101_32x4d": Architecture(_101, **_SE),
    "seresnext101_32x8d": Architecture(_101, base_width=8, **_SE),
    "seresnext101d_32x8d": Architecture(_101, base_width=8, **_D, **_SE),
    "seresnext101_64x4d": Architecture(_101, cardinality=64, **_SE),
}

# What weights="imagenet" stands for: of the weights that allow commercial use, torchvision's
# newest, else those of the best published accuracy.
IMAGENET: dict[str, str] = {
    "resnext50_32x4d": "tv2_in1k",
    "resnext50d_32x4d": "bt_in1k",
    "resnext101_32x4d": "gluon_in1k",
    "resnext101_32x8d": "tv2_in1k",
    "resnext101_64x4d": "tv_in1k",
    "seresnext26d_32x4d": "bt_in1k",
    "seresnext26t_32x4d": "bt_in1k",
    "seresnext50_32x4d": "racm_in1k",
    "seresnext101_32x4d": "gluon_in1k",
    "seresnext101_32x8d": "ah_in1k",
    "seresnext101d_32x8d": "ah_in1k",
    "seresnext101_64x4d": "gluon_in1k",
}

_STRIKES_BACK = "ImageNet-1k by ResNet strikes back (arXiv 2110.00476)"
_BAG_OF_TRICKS = "bag of tricks (arXiv 1812.01187)"
_HASHTAGS = "940 million images with hashtags"
_AUTHORS = "ImageNet-1k by the authors of ResNeXt (arXiv 1611.05431)"

_TRAINING: dict[str, str] = {
    "tv_in1k": "ImageNet-1k by torchvision, as IMAGENET1K_V1",
    "tv2_in1k": "ImageNet-1k by torchvision, as IMAGENET1K_V2",
    "a1_in1k": f"{_STRIKES_BACK}, procedure A1",
    "a1h_in1k": f"{_STRIKES_BACK}, procedure A1 with stronger regularisation",
    "a2_in1k": f"{_STRIKES_BACK}, procedure A2",
    "a3_in1k": f"{_STRIKES_BACK}, procedure A3",
    "ah_in1k": f"{_STRIKES_BACK}, procedure A1 with stronger regularisation, no CutMix",
    "bt_in1k": f"ImageNet-1k by the {_BAG_OF_TRICKS}",
    "c1_in1k": "ImageNet-1k by timm's recipe c1",
    "ra_in1k": "ImageNet-1k by timm's recipe ra",
    "racm_in1k": "ImageNet-1k by timm's recipe racm",
    "gluon_in1k": f"ImageNet-1k by GluonCV's {_BAG_OF_TRICKS}",
    "fb_ssl_yfcc100m_ft_in1k": "YFCC100M, semi-supervised (arXiv 1905.00546), then ImageNet-1k",
    "fb_swsl_ig1b_ft_in1k": (
        f"{_HASHTAGS}, semi-weakly supervised (arXiv 1905.00546), then ImageNet-1k"
    ),
    "fb_wsl_ig1b_ft_in1k": (f"{_HASHTAGS}, weakly supervised (arXiv 1805.00932), then ImageNet-1k"),
    "fb_in1k": f"{_AUTHORS}, converted to PyTorch by R. Cadene",
    "keras_in1k": f"{_AUTHORS}, converted to Keras for keras-applications",
}

_TORCHVISION = "https://docs.pytorch.org/vision/stable/models/generated/torchvision.models"
_PYTORCH_FILES = "https://download.pytorch.org/models"
_TIMM = "https://github.com/huggingface/pytorch-image-models"
_TIMM_RESULTS = (
    f"{_TIMM}/blob/0173a139a2c66db3a41ebfe1d8ac4fb02483642e/results/results-imagenet.csv"
)
_GLUON_FILES = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1"
_SEMI = "https://github.com/facebookresearch/semi-supervised-ImageNet1K-models"
_SEMI_FILES = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files"
_WSL = "https://github.com/facebookresearch/WSL-Images"
_WSL_RESULTS = "https://github.com/pytorch/hub/blob/master/facebookresearch_WSL-Images_resnext.md"
_KERAS = "https://github.com/keras-team/keras-applications"
_CADENE = "https://github.com/Cadene/pretrained-models.pytorch"


def _preset(name, **values):
    architecture, _, tag = name.partition(".")
    return Preset(name, _ARCHITECTURES[architecture], _TRAINING[tag], **values)


def _sha256(file):
    """PyTorch Hub's convention: a file's name ends in the first eight digits of its SHA-256."""
    return f"sha256:{file.rpartition('-')[2]}"


def _torchvision(name, file, resize_size, top1, top5):
    page = f"{_TORCHVISION}.{name.partition('.')[0]}.html"
    return _preset(
        name,
        url=f"{_PYTORCH_FILES}/{file}.pth",
        digest=_sha256(file),
        licence="BSD-3-Clause",
        source=page,
        preprocessing=Preprocessing(224, resize_size, "bilinear"),
        top1=top1,
        top5=top5,
        accuracy_source=page,
    )


def _timm(files, name, file, image_size, crop_pct, top1, top5):
    """Measured by timm, whose transform scales to `floor(image_size / crop_pct)` pixels."""
    return _preset(
        name,
        url=f"{files}/{file}.pth",
        digest=_sha256(file),
        licence="Apache-2.0",
        source=f"https://huggingface.co/timm/{name}",
        preprocessing=Preprocessing(image_size, floor(image_size / crop_pct), "bicubic"),
        top1=top1,
        top5=top5,
        accuracy_source=_TIMM_RESULTS,
    )


_v01 = partial(_timm, f"{_TIMM}/releases/download/v0.1-weights")
_rsb = partial(_timm, f"{_TIMM}/releases/download/v0.1-rsb-weights")
_tpu = partial(_timm, f"{_TIMM}/releases/download/v0.1-tpu-weights")


def _gluon(architecture, file, top1, top5):
    name = f"{architecture}.gluon_in1k"
    return _timm(_GLUON_FILES, name, f"gluon_{file}", 224, 0.875, top1, top5)


def _non_commercial(name, page, url, digest, top1, top5, accuracy_source):
    return _preset(
        name,
        url=url,
        digest=digest,
        licence="CC-BY-NC-4.0",
        source=page,
        preprocessing=Preprocessing(224, 256, "bilinear"),
        top1=top1,
        top5=top5,
        accuracy_source=accuracy_source,
    )


def _facebook(page, files, tag, architecture, file, top1, top5, accuracy_source=_TIMM_RESULTS):
    """As timm measured the files: Facebook's page has 84.8 for the swsl 32x16d, timm 83.3."""
    url, digest = f"{files}{file}.pth", _sha256(file)
    name = f"{architecture}.{tag}"
    return _non_commercial(name, page, url, digest, top1, top5, accuracy_source)


_ssl = partial(_facebook, _SEMI, f"{_SEMI_FILES}/semi_supervised_", "fb_ssl_yfcc100m_ft_in1k")
_swsl = partial(_facebook, _SEMI, f"{_SEMI_FILES}/semi_weakly_supervised_", "fb_swsl_ig1b_ft_in1k")
_wsl = partial(_facebook, _WSL, f"{_PYTORCH_FILES}/ig_", "fb_wsl_ig1b_ft_in1k")


def _cadene(architecture, file, top1, top5):
    """Under the licence of the weights that were converted."""
    url = f"http://data.lip6.fr/cadene/pretrainedmodels/{file}.pth"
    name = f"{architecture}.fb_in1k"
    return _non_commercial(name, _CADENE, url, _sha256(file), top1, top5, _CADENE)


def _keras(architecture, file, md5, top1, top5):
    """Under that licence too: the one that Keras' page names is of the authors' code.

    The crop of the measurement is published, the size before it is not: 256 is everyone else's.
    """
    url = f"{_KERAS}/releases/download/resnet/{file}_weights_tf_dim_ordering_tf_kernels.h5"
    name = f"{architecture}.keras_in1k"
    return _non_commercial(name, _KERAS, url, f"md5:{md5}", top1, top5, _KERAS)


_ROWS = (
    # name, file, resize_size, top-1, top-5
    _torchvision("resnext50_32x4d.tv_in1k", "resnext50_32x4d-7cdf4587", 256, 77.618, 93.698),
    _torchvision("resnext50_32x4d.tv2_in1k", "resnext50_32x4d-1a0047aa", 232, 81.198, 95.340),
    _torchvision("resnext101_32x8d.tv_in1k", "resnext101_32x8d-8ba56ff5", 256, 79.312, 94.526),
    _torchvision("resnext101_32x8d.tv2_in1k", "resnext101_32x8d-110c445d", 232, 82.834, 96.228),
    _torchvision("resnext101_64x4d.tv_in1k", "resnext101_64x4d-173b62eb", 232, 83.246, 96.454),
    # name, file, image size and crop_pct of the measurement, top-1, top-5
    _rsb("resnext50_32x4d.a1_in1k", "resnext50_32x4d_a1_0-b5a91a1d", 288, 1, 81.466, 95.174),
    _rsb("resnext50_32x4d.a1h_in1k", "resnext50_32x4d_a1h-0146ab0a", 288, 1, 82.014, 95.934),
    _rsb("resnext50_32x4d.a2_in1k", "resnext50_32x4d_a2_0-efc76add", 288, 1, 81.304, 95.096),
    _rsb("resnext50_32x4d.a3_in1k", "resnext50_32x4d_a3_0-3e450271", 224, 0.95, 79.268, 94.306),
    _v01("resnext50_32x4d.ra_in1k", "resnext50_32x4d_ra-d733960d", 288, 0.95, 80.698, 95.390),
    _v01("resnext50d_32x4d.bt_in1k", "resnext50d_32x4d-103e99f8", 288, 0.95, 80.664, 95.420),
    _v01("seresnext26d_32x4d.bt_in1k", "seresnext26d_32x4d-80fa48a3", 288, 0.95, 78.814, 94.240),
    _v01("seresnext26t_32x4d.bt_in1k", "seresnext26tn_32x4d-569cb627", 288, 0.95, 78.744, 94.312),
    _v01(
        "seresnext50_32x4d.racm_in1k", "seresnext50_32x4d_racm-a304a460", 288, 0.95, 82.196, 96.148
    ),
    _tpu("resnext101_64x4d.c1_in1k", "resnext101_64x4d_c-0d0e0cc0", 288, 1, 83.156, 96.374),
    _tpu("seresnext101_32x8d.ah_in1k", "seresnext101_32x8d_ah-e6bc4c0a", 288, 1, 84.186, 96.874),
    _tpu("seresnext101d_32x8d.ah_in1k", "seresnext101d_32x8d_ah-191d7b94", 288, 1, 84.358, 96.920),
    # architecture, file, top-1, top-5
    _gluon("resnext50_32x4d", "resnext50_32x4d-e6a097c1", 79.360, 94.430),
    _gluon("resnext101_32x4d", "resnext101_32x4d-b253c8c4", 80.340, 94.930),
    _gluon("resnext101_64x4d", "resnext101_64x4d-f9a8e184", 80.600, 94.992),
    _gluon("seresnext50_32x4d", "seresnext50_32x4d-90cf2d6e", 79.910, 94.824),
    _gluon("seresnext101_32x4d", "seresnext101_32x4d-cf52900d", 80.892, 95.296),
    _gluon("seresnext101_64x4d", "seresnext101_64x4d-f9926f93", 80.896, 95.296),
    _ssl("resnext50_32x4d", "resnext50_32x4-ddb3e555", 80.338, 95.398),
    _ssl("resnext101_32x4d", "resnext101_32x4-dc43570a", 80.924, 95.734),
    _ssl("resnext101_32x8d", "resnext101_32x8-2cfe2f8b", 81.606, 96.040),
    _ssl("resnext101_32x16d", "resnext101_32x16-15fffa57", 81.842, 96.092),
    _swsl("resnext50_32x4d", "resnext50_32x4-72679e44", 82.174, 96.222),
    _swsl("resnext101_32x4d", "resnext101_32x4-3f87e46b", 83.232, 96.758),
    _swsl("resnext101_32x8d", "resnext101_32x8-b4712904", 84.302, 97.176),
    _swsl("resnext101_32x16d", "resnext101_32x16-f3559a9c", 83.336, 96.846),
    _wsl("resnext101_32x8d", "resnext101_32x8-c38310e5", 82.698, 96.632),
    _wsl("resnext101_32x16d", "resnext101_32x16-c6f796b0", 84.166, 97.198),
    _wsl("resnext101_32x32d", "resnext101_32x32-e4b90b00", 85.098, 97.438),
    _wsl("resnext101_32x48d", "resnext101_32x48-3e41cc8a", 85.4, 97.6, _WSL_RESULTS),
    _cadene("resnext101_32x4d", "resnext101_32x4d-29e315fa", 78.188, 93.886),
    _cadene("resnext101_64x4d", "resnext101_64x4d-e77a0586", 78.956, 94.252),
    # architecture, file, md5, top-1, top-5
    _keras("resnext50_32x4d", "resnext50", "67a5b30d522ed92f75a1f16eef299d1a", 77.740, 93.810),
    _keras("resnext101_32x4d", "resnext101", "34fb605428fcc7aa4d62f44404c11509", 78.730, 94.294),
)

# By architecture.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for architecture in _ARCHITECTURES
    for preset in _ROWS
    if preset.architecture_name == architecture
}
