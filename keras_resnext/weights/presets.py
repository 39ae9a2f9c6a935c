"""Published weights: one table. Whoever adds a row states its source; no number is estimated."""

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from keras_resnext.architecture import Architecture, from_timm_name
from keras_resnext.preprocessing import Preprocessing

# What weights="imagenet" stands for: of the weights that allow commercial use, torchvision's
# newest, else those of the best published accuracy.
IMAGENET = {
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


@dataclass(frozen=True)
class Preset:
    """Published weights in one of timm's repositories on the Hugging Face hub.

    Attributes:
        name: `ARCHITECTURE.TAG`, of the repository too: `timm/NAME`.
        image_size: of the published evaluation, in pixels.
        resize_size: of the shorter side before the crop, in pixels.
        interpolation: `"bilinear"` or `"bicubic"`.
        top1: published ImageNet-1k validation accuracy, in percent.
        top5: the same, among the five most likely classes.
    """

    name: str
    image_size: int
    resize_size: int
    interpolation: Any
    top1: float
    top5: float

    @property
    def tag(self) -> str:
        """The name's second part, such as `"a1_in1k"`."""
        return self.name.partition(".")[2]

    @property
    def architecture_name(self) -> str:
        """The name's first part, such as `"resnext50_32x4d"`."""
        return self.name.partition(".")[0]

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return from_timm_name(self.architecture_name)

    @property
    def preprocessing(self) -> Preprocessing:
        """Of the published evaluation."""
        return Preprocessing(self.image_size, self.resize_size, self.interpolation)

    @property
    def trained_on(self) -> str:
        """Data set and procedure."""
        return _TRAINED_ON[self.tag]

    @property
    def license(self) -> str:
        """SPDX identifier, as the publisher states it."""
        if self.tag.startswith("fb_"):
            return "CC-BY-NC-4.0"
        return "BSD-3-Clause" if self.tag.startswith("tv") else "Apache-2.0"

    @property
    def commercial_use(self) -> bool:
        """Whether the license allows it."""
        return "-NC-" not in self.license

    @property
    def is_recommended(self) -> bool:
        """Whether `weights="imagenet"` stands for it."""
        return IMAGENET.get(self.architecture_name) == self.tag


_ROWS = (
    # name, image size, resize size, interpolation, top-1, top-5: as torchvision's pages state them
    # for tags tv and tv2, else timm 1.0.31 and its results/results-imagenet.csv.
    Preset("resnext50_32x4d.tv_in1k", 224, 256, "bilinear", 77.618, 93.698),
    Preset("resnext50_32x4d.tv2_in1k", 224, 232, "bilinear", 81.198, 95.34),
    Preset("resnext50_32x4d.a1_in1k", 288, 288, "bicubic", 81.466, 95.174),
    Preset("resnext50_32x4d.a1h_in1k", 288, 288, "bicubic", 82.014, 95.934),
    Preset("resnext50_32x4d.a2_in1k", 288, 288, "bicubic", 81.304, 95.096),
    Preset("resnext50_32x4d.a3_in1k", 224, 235, "bicubic", 79.268, 94.306),
    Preset("resnext50_32x4d.ra_in1k", 288, 303, "bicubic", 80.698, 95.39),
    Preset("resnext50_32x4d.gluon_in1k", 224, 256, "bicubic", 79.36, 94.43),
    Preset("resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 80.338, 95.398),
    Preset("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 82.174, 96.222),
    Preset("resnext50d_32x4d.bt_in1k", 288, 303, "bicubic", 80.664, 95.42),
    Preset("resnext101_32x4d.gluon_in1k", 224, 256, "bicubic", 80.34, 94.93),
    Preset("resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 80.924, 95.734),
    Preset("resnext101_32x4d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 83.232, 96.758),
    Preset("resnext101_32x8d.tv_in1k", 224, 256, "bilinear", 79.312, 94.526),
    Preset("resnext101_32x8d.tv2_in1k", 224, 232, "bilinear", 82.834, 96.228),
    Preset("resnext101_32x8d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 81.606, 96.04),
    Preset("resnext101_32x8d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 84.302, 97.176),
    Preset("resnext101_32x8d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 82.698, 96.632),
    Preset("resnext101_32x16d.fb_ssl_yfcc100m_ft_in1k", 224, 256, "bilinear", 81.842, 96.092),
    Preset("resnext101_32x16d.fb_swsl_ig1b_ft_in1k", 224, 256, "bilinear", 83.336, 96.846),
    Preset("resnext101_32x16d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 84.166, 97.198),
    Preset("resnext101_32x32d.fb_wsl_ig1b_ft_in1k", 224, 256, "bilinear", 85.098, 97.438),
    Preset("resnext101_64x4d.tv_in1k", 224, 232, "bilinear", 83.246, 96.454),
    Preset("resnext101_64x4d.c1_in1k", 288, 288, "bicubic", 83.156, 96.374),
    Preset("resnext101_64x4d.gluon_in1k", 224, 256, "bicubic", 80.6, 94.992),
    Preset("seresnext26d_32x4d.bt_in1k", 288, 303, "bicubic", 78.814, 94.24),
    Preset("seresnext26t_32x4d.bt_in1k", 288, 303, "bicubic", 78.744, 94.312),
    Preset("seresnext50_32x4d.racm_in1k", 288, 303, "bicubic", 82.196, 96.148),
    Preset("seresnext50_32x4d.gluon_in1k", 224, 256, "bicubic", 79.91, 94.824),
    Preset("seresnext101_32x4d.gluon_in1k", 224, 256, "bicubic", 80.892, 95.296),
    Preset("seresnext101_32x8d.ah_in1k", 288, 288, "bicubic", 84.186, 96.874),
    Preset("seresnext101d_32x8d.ah_in1k", 288, 288, "bicubic", 84.358, 96.92),
    Preset("seresnext101_64x4d.gluon_in1k", 224, 256, "bicubic", 80.896, 95.296),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ROWS}
"""All, by name."""


def find_preset(weights: str, architecture: Architecture) -> Preset:
    """Return the published weights for an architecture.

    Args:
        weights: a tag (`"a1_in1k"`, `"a1"`), or `"imagenet"` for the recommended ones, which always
            allow commercial use; those that do not are found by their full name only.
        architecture: of the network that they are for.

    Raises:
        ValueError: there are none of that name for this architecture; the message says which there
            are, or which arguments build a network for those weights.
    """
    fitting = [preset for preset in PRESETS.values() if preset.architecture == architecture]
    choices = _choices(fitting)
    if weights == "imagenet":
        for preset in fitting:
            if preset.is_recommended:
                return preset
        if fitting:
            raise ValueError(
                "weights='imagenet' stands for weights that allow commercial use, and there are "
                f"none for {fitting[0].architecture_name}; {choices}."
            )
    called = [p for p in PRESETS.values() if weights in (p.name, p.tag, p.tag[: -len("_in1k")])]
    for preset in called:
        if preset in fitting:
            if preset.commercial_use or weights == preset.name:
                return preset
            raise ValueError(
                f"weights={weights!r}: {preset.license} forbids commercial use, so these weights "
                f"load by their full name only: weights={preset.name!r}."
            )
    if called:
        raise ValueError(f"weights={weights!r} belongs to {_instead(called, architecture)}.")
    if fitting:
        raise ValueError(f"weights={weights!r} is unknown; {choices}{near(weights)}.")
    nearest = _instead(PRESETS.values(), architecture, limit=3)
    raise ValueError(
        f"weights={weights!r}: no weights are published for {architecture}. The nearest are those "
        f"of {nearest}{near(weights)}."
    )


def near(name: str) -> str:
    """Return "; did you mean ...?" if presets have similar names, else nothing."""
    found = get_close_matches(name, PRESETS)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def differences(wanted: Architecture, given: Architecture) -> str:
    """Return the arguments that turn an architecture into the wanted one, as Python."""
    has = asdict(given)
    return ", ".join(
        f"{key}={value!r}" for key, value in asdict(wanted).items() if value != has[key]
    )


def _choices(fitting):
    if not fitting:
        return ""
    words = ["imagenet"] if any(preset.is_recommended for preset in fitting) else []
    words += [preset.tag if preset.commercial_use else preset.name for preset in fitting]
    return f"for {fitting[0].architecture_name} use one of {', '.join(map(repr, words))}"


def _instead(presets, architecture, limit=None):
    """Architectures and the arguments that build them, those that need the fewest first."""
    needed = {
        preset.architecture_name: differences(preset.architecture, architecture)
        for preset in presets
    }
    in_order = sorted(needed.items(), key=lambda item: item[1].count("="))
    return "; ".join(f"{name}: pass {arguments}" for name, arguments in in_order[:limit])
