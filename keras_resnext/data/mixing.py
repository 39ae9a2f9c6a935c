"""MixUp and CutMix: each image and its label mixed with its neighbour's."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Mixing:
    """How batches are mixed, by `torchvision.transforms.v2.MixUp` and `CutMix`.

    With both, each has probability one half a batch, as in torchvision's reference training. Keras'
    layers draw by a generator of the backend's own; its `CutMix` draws alpha too, and weighs labels
    by an area that is not the one pasted.

    Attributes:
        mixup: alpha of MixUp (Zhang et al. 2018): images are averaged with weights lambda and
            1 - lambda, lambda from Beta(alpha, alpha). 0: no MixUp.
        cutmix: alpha of CutMix (Yun et al. 2019): a rectangle of the neighbour is pasted in, of the
            share 1 - lambda of the area. 0: no CutMix.

    Raises:
        ValueError: an alpha is negative or not finite.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self):
        for name in ("mixup", "cutmix"):
            alpha = getattr(self, name)
            if not 0 <= alpha < math.inf:
                raise ValueError(f"{name}: expected an alpha >= 0, got {alpha!r}")


class Blend(NamedTuple):
    """How one batch is mixed.

    Attributes:
        weight: of an image's own label, 0 to 1; the rest is its neighbour's.
        box: CutMix: what is pasted, in rows and columns. None: the pixels are averaged by `weight`.
    """

    weight: float
    box: tuple[slice, slice] | None = None


def draw_blend(mixing: Mixing, height: int, width: int, rng: np.random.Generator) -> Blend:
    """Draw how a batch of images of this size, in pixels, is mixed."""
    if mixing.cutmix and (not mixing.mixup or rng.random() < 0.5):
        return _cut(rng.beta(mixing.cutmix, mixing.cutmix), height, width, rng)
    return Blend(rng.beta(mixing.mixup, mixing.mixup) if mixing.mixup else 1.0)


def _cut(weight, height, width, rng):
    """Draw a rectangle about a pixel, clipped to the image; the label goes by what is left."""
    rows, columns = (_around(rng.integers(size), size, weight) for size in (height, width))
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Blend(1 - pasted / (height * width), (rows, columns))


def _around(centre, size, weight):
    half = int(0.5 * math.sqrt(1 - weight) * size)
    return slice(max(centre - half, 0), min(centre + half, size))


def mix(images: np.ndarray, labels: np.ndarray, blend: Blend) -> tuple[np.ndarray, np.ndarray]:
    """Mix each sample with the one before it.

    Args:
        images: float32 (1 + B, H, W, C): the neighbour of the first, then the samples to mix.
        labels: float32 (1 + B, classes), likewise.
        blend: how.

    Returns:
        float32 (B, H, W, C) and (B, classes), copies.
    """
    if blend.box is None:
        mixed = _average(images, blend.weight)
    else:
        mixed = images[1:].copy()
        mixed[:, *blend.box] = images[:-1, *blend.box]
    return mixed, _average(labels, blend.weight)


def _average(values, weight):
    result = values[:-1] * np.float32(1 - weight)
    result += values[1:] * np.float32(weight)
    return result
