"""Published weights: one table. Whoever adds a row states its source; no number is estimated."""

from dataclasses import asdict
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from keras_resnext.architecture import Architecture, from_timm_name
from keras_resnext.preprocessing import Preprocessing, imagenet_class_names
from keras_resnext.weights.files import read_weights
from keras_resnext.weights.hub import download
from keras_resnext.weights.layers import Checkpoint

TOP1, TOP5 = "imagenet-1k top-1", "imagenet-1k top-5"

_STRIKES_BACK = "ImageNet-1k by ResNet strikes back (arXiv 2110.00476)"
_TRAINED_ON = {
    "tv_in1k": "ImageNet-1k by torchvision, as IMAGENET1K_V1",
    "tv2_in1k": "ImageNet-1k by torchvision, as IMAGENET1K_V2",
    "a1_in1k": f"{_STRIKES_BACK}, procedure A1",
    "a1h_in1k": f"{_STRIKES_BACK}, procedure A1 with stronger regularization",
    "a2_in1k": f"{_STRIKES_BACK}, procedure A2",
    "a3_in1k": f"{_STRIKES_BACK}, procedure A3",
    "ah_in1k": f"{_STRIKES_BACK}, procedure A1 with stronger regularization, no CutMix",
    "bt_in1k": "ImageNet-1k by the bag of tricks (arXiv 1812.01187)",
    "c1_in1k": "ImageNet-1k by timm's recipe c1",
    "ra_in1k": "ImageNet-1k by timm's recipe ra",
    "racm_in1k": "ImageNet-1k by timm's recipe racm",
    "gluon_in1k": "ImageNet-1k by GluonCV's bag of tricks (arXiv 1812.01187)",
    "fb_ssl_yfcc100m_ft_in1k": "YFCC100M, semi-supervised (arXiv 1905.00546), then ImageNet-1k",
    "fb_swsl_ig1b_ft_in1k": (
        "940 million images with hashtags, semi-weakly supervised (arXiv 1905.00546), then "
        "ImageNet-1k"
    ),
    "fb_wsl_ig1b_ft_in1k": (
        "940 million images with hashtags, weakly supervised (arXiv 1805.00932), then ImageNet-1k"
    ),
}

_ROWS = (
    # name, image size, resize size, interpolation, top-1, top-5: as torchvision's pages state them
    # for tags tv and tv2, else timm 1.0.31 and its results/results-imagenet.csv.
    ("resnext50_32x4d.tv_in1k", 224, 256, "bilinear", 77.618, 93.698),
    ("resnext50_32x4d.tv2_in1k", 224, 232, "bilinear", 81.198, 95.34),
    ("resnext50_32x4d.a1_in1k", 288, 288, "bicubic", 81.466, 95.174),
    ("resnext50_32x4d.a1h_in1k", 288, 288, "bicubic", 82.014, 95.934),
    ("resnext50_32x4d.a2_in1k", 288, 288, "bicubic", 81.304, 95.096),
    ("resnext50_32x4d.a3_in1k", 224, 235, "bicubic", 79.268, 94.306),
    ("resnext50_32x4d.ra_in1k", 288, 303, "bicubic", 80.698, 95.39),
    ("resnext50_32x4d.gluon_in1k", 224, 256, "bicubic", 79.36, 94.43),
    ("resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 80.338, 95.398),
    ("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 82.174, 96.222),
    ("resnext50d_32x4d.bt_in1k", 288, 303, "bicubic", 80.664, 95.42),
    ("resnext101_32x4d.gluon_in1k", 224, 256, "bicubic", 80.34, 94.93),
    ("resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 80.924, 95.734),
    ("resnext101_32x4d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 83.232, 96.758),
    ("resnext101_32x8d.tv_in1k", 224, 256, "bilinear", 79.312, 94.526),
    ("resnext101_32x8d.tv2_in1k", 224, 232, "bilinear", 82.834, 96.228),
    ("resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 81.606, 96.04),
    ("resnext101_32x8d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 84.302, 97.176),
    ("resnext101_32x8d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 82.698, 96.632),
    ("resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 81.842, 96.092),
    ("resnext101_32x16d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 83.336, 96.846),
    ("resnext101_32x16d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 84.166, 97.198),
    ("resnext101_32x32d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 85.098, 97.438),
    ("resnext101_64x4d.tv_in1k", 224, 232, "bilinear", 83.246, 96.454),
    ("resnext101_64x4d.c1_in1k", 288, 288, "bicubic", 83.156, 96.374),
    ("resnext101_64x4d.gluon_in1k", 224, 256, "bicubic", 80.6, 94.992),
    ("seresnext26d_32x4d.bt_in1k", 288, 303, "bicubic", 78.814, 94.24),
    ("seresnext26t_32x4d.bt_in1k", 288, 303, "bicubic", 78.744, 94.312),
    ("seresnext50_32x4d.racm_in1k", 288, 303, "bicubic", 82.196, 96.148),
    ("seresnext50_32x4d.gluon_in1k", 224, 256, "bicubic", 79.91, 94.824),
    ("seresnext101_32x4d.gluon_in1k", 224, 256, "bicubic", 80.892, 95.296),
    ("seresnext101_32x8d.ah_in1k", 288, 288, "bicubic", 84.186, 96.874),
    ("seresnext101d_32x8d.ah_in1k", 288, 288, "bicubic", 84.358, 96.92),
    ("seresnext101_64x4d.gluon_in1k", 224, 256, "bicubic", 80.896, 95.296),
)


def _preset(name, image_size, resize_size, interpolation, top1, top5) -> Checkpoint:
    network, _, tag = name.partition(".")
    repository, license = f"timm/{name}", "CC-BY-NC-4.0"
    if not tag.startswith("fb_"):
        license = "BSD-3-Clause" if tag.startswith("tv") else "Apache-2.0"
    return Checkpoint(
        name=name,
        architecture=from_timm_name(network),
        preprocessing=Preprocessing(image_size, resize_size, interpolation),
        class_names=imagenet_class_names(),
        classes=1000,
        license=license,
        source=f"https://huggingface.co/{repository}",
        trained_on=_TRAINED_ON[tag],
        accuracy={TOP1: round(top1 / 100, 5), TOP5: round(top5 / 100, 5)},
        folder=Path("runs", name),
        read=lambda: read_weights(download(repository, "model.safetensors")),
    )


PRESETS: dict[str, Checkpoint] = {row[0]: _preset(*row) for row in _ROWS}
"""All published weights, by name."""

BUNDLED = {"cifar100": Path(__file__).with_name("cifar100")}
"""Networks that come with this package, by name: folders in timm's layout."""

TIMM_NAMES = frozenset(name.partition(".")[0] for name in PRESETS)
"""Networks of ours that timm 1.0.31 builds by name."""


def list_presets(pattern: str = "*") -> list[str]:
    """Return the names of built-in weights, those that fit wildcards such as `"resnext50*"`."""
    return [name for name in (*BUNDLED, *PRESETS) if fnmatchcase(name, pattern)]


def is_recommended(preset: Checkpoint) -> bool:
    """Whether `weights="imagenet"` stands for it.

    Of the weights of its network that allow commercial use, those are torchvision's newest, or else
    those of the best published accuracy.
    """
    rivals = [p for p in PRESETS.values() if p.architecture == preset.architecture and _is_free(p)]
    return preset == max(rivals, key=lambda p: (".tv" in p.name, p.accuracy[TOP1]), default=None)


def _is_free(preset):
    return "-NC-" not in preset.license


def find_preset(weights: str, architecture: Architecture) -> Checkpoint:
    """Return the published weights for an architecture by tag (`"a1_in1k"`, `"a1"`) or full name.

    `"imagenet"` are the recommended ones. Those that forbid commercial use have a full name only.

    Raises:
        ValueError: there are none of that name for this architecture; the message says which there
            are, or which arguments build a network for those weights.
    """
    fitting = [preset for preset in PRESETS.values() if preset.architecture == architecture]
    called = [
        preset
        for name, preset in PRESETS.items()
        if weights in (name, _tag(preset), _tag(preset).removesuffix("_in1k"))
    ]
    if weights == "imagenet":
        called = [preset for preset in fitting if is_recommended(preset)]
    for preset in called:
        if preset in fitting:
            if _is_free(preset) or weights == preset.name:
                return preset
            raise ValueError(
                f"weights={weights!r}: {preset.license} forbids commercial use, so these weights "
                f"load by their full name only: weights={preset.name!r}."
            )
    if called:
        raise ValueError(f"weights={weights!r} belongs to {_instead(called, architecture)}.")
    if fitting:
        words = ["imagenet"] if any(map(is_recommended, fitting)) else []
        words += [_tag(p) if _is_free(p) else p.name for p in fitting]
        what = f"none of that name for {architecture}; use one of {', '.join(map(repr, words))}"
    else:
        nearest = _instead(PRESETS.values(), architecture, limit=3)
        what = f"no weights are published for {architecture}. The nearest are those of {nearest}"
    raise ValueError(f"weights={weights!r}: {what}{near(weights)}.")


def near(name: str) -> str:
    """Return "; did you mean ...?" if presets have similar names, else nothing."""
    begun = [preset for preset in list_presets() if name and preset.startswith(name.lower())]
    found = begun[:3] or get_close_matches(name, list_presets())
    return f"; did you mean {' or '.join(found)}?" if found else ""


def differences(wanted: Architecture, given: Architecture) -> str:
    """Return the arguments that turn an architecture into the wanted one, as Python."""
    has = asdict(given)
    return ", ".join(
        f"{key}={value!r}" for key, value in asdict(wanted).items() if value != has[key]
    )


def _tag(preset):
    return preset.name.partition(".")[2]


def _instead(presets, architecture, limit=None):
    """Architectures and the arguments that build them, those that need the fewest first."""
    needed = {
        preset.name.partition(".")[0]: differences(preset.architecture, architecture)
        for preset in presets
    }
    in_order = sorted(needed.items(), key=lambda item: item[1].count("="))
    return "; ".join(f"{name}: pass {arguments}" for name, arguments in in_order[:limit])
