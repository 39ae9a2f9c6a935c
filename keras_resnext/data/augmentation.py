"""Augmentation of training images, each by its own random draw: the same on every backend."""

import math
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from keras_resnext.data import trivial
from keras_resnext.files import require
from keras_resnext.preprocessing import RGB, Preprocessing, normalize

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ERASED_AREAS = (0.02, 0.33)
ERASED_ASPECTS = (0.3, 3.3)
ATTEMPTS = 10  # to find a rectangle that fits


@dataclass(frozen=True)
class Augmentation:
    """What may happen to training images.

    Each image is cropped by crop-scale and resized, flipped, cropped by crop-padding, transformed
    by the policy, rotated, normalized and erased, in this order; then the images of a batch are
    mixed, and finally reduced in size.

    Raises:
        ValueError: a field is out of range.
        ImportError: crop-scale, policy or rotation needs Pillow, which is not installed.
    """

    crop_padding: int = 0
    """Pixels added on each side before a random crop back to the image's size; 0: no crop."""
    flip: bool = False
    """Mirror left and right with probability one half."""
    rotation_degrees: float = 0.0
    """Rotate by a random angle of up to this, either way, to the nearest pixel, as torchvision's
    RandomRotation; 0: no rotation."""
    padding_color: Literal["mean", "black"] = "mean"
    """What padding, policy and rotation uncover: the data set's mean color, zero after
    normalization, as in the ResNeXt authors' code (rounded to whole pixel values where there is a
    policy or rotation), or black, as torchvision does."""
    policy: Literal["none", "trivialaugment"] = "none"
    """One random operation per image: TrivialAugment Wide (Müller & Hutter 2021)."""
    erasing: float = 0.0
    """Probability of Random Erasing (Zhong et al. 2017): a rectangle becomes the mean color."""
    mixup: float = 0.0
    """Alpha of MixUp (Zhang et al. 2018), which averages pairs of images and labels; 0: none. With
    CutMix, each batch gets one of the two, with probability one half."""
    cutmix: float = 0.0
    """Alpha of CutMix (Yun et al. 2019), which pastes a rectangle of another image; 0: none."""
    crop_scale: tuple[float, float] | None = None
    """Crop a random share of the original image's area, between these two, and resize it to the
    image's size, as torchvision's RandomResizedCrop; such as 0.08 1. None: no such crop."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and largest ratio of width to height of that crop."""
    small_sizes: tuple[int, ...] = ()
    """Progressive resizing: image sizes to train at first, in pixels, rising. Empty: full size."""
    small_until: tuple[int, ...] = ()
    """Progressive resizing: epochs at which each of small-sizes ends, rising."""

    def __post_init__(self):
        expected = {
            "crop_padding": (
                isinstance(self.crop_padding, int) and self.crop_padding >= 0,
                "a whole number of pixels >= 0",
            ),
            "crop_scale": (_interval(self.crop_scale or (1, 1), 1), "two rising shares, up to 1"),
            "crop_ratio": (_interval(self.crop_ratio, sys.float_info.max), "two rising ratios"),
            "rotation_degrees": (0 <= self.rotation_degrees <= 180, "0 to 180 degrees"),
            "erasing": (0 <= self.erasing <= 1, "a probability, 0 to 1"),
            "mixup": (0 <= self.mixup < math.inf, "an alpha >= 0"),
            "cutmix": (0 <= self.cutmix < math.inf, "an alpha >= 0"),
            "small_sizes": (_rising(self.small_sizes), "rising numbers, each 1 or more"),
            "small_until": (
                _rising(self.small_until) and len(self.small_until) == len(self.small_sizes),
                f"rising epochs, one for each of small_sizes {self.small_sizes!r}",
            ),
        }
        for name in ("padding_color", "policy"):
            choices = get_args(Augmentation.__annotations__[name])
            expected[name] = (getattr(self, name) in choices, f"one of {choices}")
        for name, (valid, what) in expected.items():
            if not valid:
                raise ValueError(f"{name}: expected {what}, got {getattr(self, name)!r}")
        if self.needs_pixels or self.crop_scale:
            # Found out now, not in mid-epoch.
            require("PIL.Image", "this augmentation needs pillow")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, which makes labels one-hot."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def needs_pixels(self) -> bool:
        """Whether Pillow works on resized images, which wants whole pixel values."""
        return self.policy != "none" or self.rotation_degrees > 0

    def size_in(self, epoch: int) -> int | None:
        """Height and width that images are reduced to in `epoch`, in pixels; None: full size."""
        for until, size in zip(self.small_until, self.small_sizes, strict=True):
            if epoch < until:
                return size
        return None


def _rising(values):
    return list(values) == sorted({value for value in values if value >= 1})


def _interval(ends, most):
    return len(ends) == 2 and 0 < ends[0] <= ends[1] <= most


class Draws(NamedTuple):
    """What is drawn for each image of a batch; every array has one row per image."""

    flipped: np.ndarray  # bool (B,)
    tops: np.ndarray  # int (B,), as in `shift`
    lefts: np.ndarray  # int (B,), as in `shift`
    degrees: np.ndarray  # float32 (B,), counterclockwise
    operations: np.ndarray  # int (B,), of the policy
    magnitudes: np.ndarray  # float64 (B,), of the policy
    boxes: np.ndarray  # int (B, 4): top, left, height and width of what is erased
    crops: np.ndarray  # float64 (B, 22), as in `crop_box`; (B, 0) without crop-scale

    def take(self, rows: np.ndarray | slice) -> "Draws":
        """Return the draws of the images at `rows` only."""
        return Draws(*(array[rows] for array in self))


def draw(
    augmentation: Augmentation, count: int, height: int, width: int, rng: np.random.Generator
) -> Draws:
    """Draw what happens to each of `count` images of this size, in pixels."""
    flipped = rng.random(count) < 0.5 if augmentation.flip else np.zeros(count, bool)
    tops, lefts = rng.integers(0, 2 * augmentation.crop_padding, size=(2, count), endpoint=True)
    degrees = augmentation.rotation_degrees * (2 * rng.random((count,), np.float32) - 1)
    operations, magnitudes = np.zeros(count, int), np.zeros(count)
    if augmentation.policy == "trivialaugment":
        operations, magnitudes = trivial.draw_operations(count, rng)
    boxes = np.zeros((count, 4), int)
    if augmentation.erasing:
        boxes = draw_boxes(count, height, width, augmentation.erasing, rng)
    crops = rng.random((count, 2 * ATTEMPTS + 2 if augmentation.crop_scale else 0))
    return Draws(flipped, tops, lefts, degrees, operations, magnitudes, boxes, crops)


def draw_boxes(
    count: int, height: int, width: int, probability: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a rectangle to erase for each image, int (B, 4), zeros where there is none.

    As `torchvision.transforms.RandomErasing`: area and aspect (height to width) are uniform and
    log-uniform, up to ten times until the rectangle fits.
    """
    areas = height * width * rng.uniform(*ERASED_AREAS, (ATTEMPTS, count))
    lowest, highest = np.log(ERASED_ASPECTS)
    aspects = np.exp(rng.uniform(lowest, highest, (ATTEMPTS, count)))
    sides = np.rint(np.sqrt([areas * aspects, areas / aspects])).astype(int)
    fits = (sides[0] < height) & (sides[1] < width)
    erased = (rng.random(count) < probability) & fits.any(axis=0)
    heights, widths = sides[:, fits.argmax(axis=0), np.arange(count)] * erased
    tops = rng.integers(0, height - heights, endpoint=True) * erased
    lefts = rng.integers(0, width - widths, endpoint=True) * erased
    return np.stack([tops, lefts, heights, widths], axis=1)


def crop_box(
    width: int, height: int, uniforms: np.ndarray, augmentation: Augmentation
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a crop, as `torchvision.transforms.RandomResizedCrop`.

    Area and ratio are uniform and log-uniform, up to ten times until the rectangle fits; else it is
    the largest at the center whose ratio is allowed. Of `uniforms`, float (22,), ten each are for
    area and ratio, one each for top and left.
    """
    scale, ratio = augmentation.crop_scale or (1, 1), augmentation.crop_ratio
    areas, ratios, (down, right) = np.split(uniforms, (ATTEMPTS, 2 * ATTEMPTS))
    areas = width * height * (scale[0] + (scale[1] - scale[0]) * areas)
    lowest, highest = np.log(ratio)
    aspects = np.exp(lowest + (highest - lowest) * ratios)
    for pixels, aspect in zip(areas.tolist(), aspects.tolist(), strict=True):
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(right * (width - w + 1)), int(down * (height - h + 1))
            return left, top, left + w, top + h
    w = max(1, min(width, round(height * ratio[1])))
    h = max(1, min(height, round(width / ratio[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def crop_and_resize(
    image: "PILImage", augmentation: Augmentation, uniforms: np.ndarray, resized: Preprocessing
) -> "PILImage":
    """Crop by `crop_box` and resize, equal to torchvision's `resized_crop` of PIL images."""
    from PIL import Image

    cropped = image.crop(crop_box(*image.size, uniforms, augmentation))
    size = resized.image_size, resized.image_size
    return cropped.resize(size, Image.Resampling[resized.interpolation.upper()])


def augment(
    images: np.ndarray, augmentation: Augmentation, draws: Draws, mean: RGB, std: RGB, out=None
) -> np.ndarray:
    """Normalize and augment resized images, uint8 (B, H, W, 3) to float32, each by its own draw."""
    padding, black = augmentation.crop_padding, augmentation.padding_color == "black"
    color = np.zeros(3, np.uint8) if black else np.rint(mean).astype(np.uint8)
    pixels = mirror(images, draws.flipped) if draws.flipped.any() else images
    if augmentation.needs_pixels:
        # Torchvision's reference crops before the policy, too.
        pixels = shift(pixels, padding, draws.tops, draws.lefts, color)
        rgb = tuple(color.tolist())

        def change(image: "PILImage", i: int) -> "PILImage":
            name = trivial.NAMES[draws.operations[i]]  # without a policy "Identity"
            image = trivial.transform_one(image, name, draws.magnitudes[i], rgb)
            return image.rotate(float(draws.degrees[i]), fillcolor=rgb)

        pixels = trivial.each(pixels, change)
    result = normalize(pixels, mean, std, out)
    if padding and not augmentation.needs_pixels:
        fill = normalize(color[None], mean, std)[0] if black else np.zeros(3, np.float32)
        result[:] = shift(result, padding, draws.tops, draws.lefts, fill)
    if augmentation.erasing:
        for image, (top, left, height, width) in zip(result, draws.boxes, strict=True):
            image[top : top + height, left : left + width] = 0
    return result


def mirror(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Copy images (B, H, W, C), and swap left and right of the chosen, bool (B,)."""
    _, height, width, channels = images.shape
    backwards = np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1)
    rows = images.reshape(-1, height, width * channels).copy()
    rows[chosen] = rows[chosen].take(backwards, axis=2)
    return rows.reshape(images.shape)


def shift(
    images: np.ndarray, padding: int, tops: np.ndarray, lefts: np.ndarray, fill: np.ndarray
) -> np.ndarray:
    """Pad images (B, H, W, C) with the color `fill`, and crop each at its own place.

    `keras.layers.RandomCrop` draws one place for the whole batch.
    """
    count, height, width, channels = images.shape
    # Pixels are merged with their channels, so that a row of a window is one run of memory.
    rows = images.reshape(count, height, width * channels)
    margin = padding * channels
    shape = (count, height + 2 * padding, width * channels + 2 * margin)
    padded = np.empty(shape, images.dtype)
    padded[:] = np.tile(fill, width + 2 * padding)
    padded[:, padding : padding + height, margin : margin + width * channels] = rows
    windows = np.lib.stride_tricks.sliding_window_view(padded, rows.shape[1:], axis=(1, 2))
    return windows[np.arange(count), tops, lefts * channels].reshape(images.shape)


def draw_blend(
    augmentation: Augmentation, height: int, width: int, rng: np.random.Generator
) -> tuple[float, tuple[slice, slice] | None]:
    """Draw an own label's weight, and what to paste (None: average), as torchvision's v2.CutMix."""
    mixup, cutmix = augmentation.mixup, augmentation.cutmix
    if not cutmix or (mixup and rng.random() >= 0.5):
        return rng.beta(mixup, mixup) if mixup else 1.0, None
    side = math.sqrt(1 - rng.beta(cutmix, cutmix))
    rows, columns = _around_a_pixel(height, side, rng), _around_a_pixel(width, side, rng)
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    return 1 - pasted / (height * width), (rows, columns)


def _around_a_pixel(size: int, share: float, rng: np.random.Generator) -> slice:
    center, half = int(rng.integers(size)), int(0.5 * share * size)
    return slice(max(center - half, 0), min(center + half, size))


def mix(
    images: np.ndarray, labels: np.ndarray, weight: float, box: tuple[slice, slice] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each sample with the one before it: of 1 + B images and one-hot labels, return B."""
    mixed = _average(images, weight) if box is None else images[1:].copy()
    if box is not None:
        mixed[:, *box] = images[:-1, *box]
    return mixed, _average(labels, weight)


def _average(values, weight):
    result = values[:-1] * np.float32(1 - weight)
    result += values[1:] * np.float32(weight)
    return result


def reduce_size(images: np.ndarray, size: int) -> np.ndarray:
    """Reduce images (B, H, W, C) to `size`: each new pixel is the mean of the area it covers.

    Raises:
        ValueError: the images are smaller.
    """
    rows, columns = (_shares(length, size) for length in images.shape[1:3])
    reduced = np.einsum("ih,bhwc->biwc", rows, images, optimize=True)
    return np.ascontiguousarray(np.einsum("jw,biwc->bijc", columns, reduced, optimize=True))


@cache
def _shares(length: int, size: int) -> np.ndarray:
    """Share of each of `length` pixels in each of `size` new ones: float32 (size, length)."""
    if size > length:
        raise ValueError(f"small_sizes: expected at most the images' {length} pixels, got {size}")
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, None) * (size / length)).astype(np.float32)
