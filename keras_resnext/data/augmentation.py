"""Random crop, flip and rotation, per sample, in NumPy: the same on every backend."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from keras_resnext.data.dataset import RGB
from keras_resnext.data.rotation import Interpolation, rotate

# Images worked on at a time. Intermediate arrays then stay in the cache and in memory that malloc
# keeps: a whole batch at a time takes three times as long, nearly all of it in page faults.
CHUNK = 16

PaddingColour = Literal["mean", "black"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image: flip, then crop, then rotation.

    Attributes:
        crop_padding: pixels added on each side before a crop back to the image's size, so the
            image moves by up to this much each way. 0: no crop.
        flip: mirror left and right with probability one half.
        rotation_degrees: rotate about the centre by an angle uniform in
            [-rotation_degrees, rotation_degrees]. 0: no rotation.
        padding_colour: what crop and rotation uncover. "mean" is zero after normalising, as in the
            ResNeXt authors' code; "black" is pixel value 0 before it, as torchvision's transforms
            on images have it.
        interpolation: of the rotation: "bilinear", or "nearest" as torchvision defaults to.

    Raises:
        ValueError: a field is out of range.
    """

    crop_padding: int = 0
    flip: bool = False
    rotation_degrees: float = 0.0
    padding_colour: PaddingColour = "mean"
    interpolation: Interpolation = "bilinear"

    def __post_init__(self):
        if not isinstance(self.crop_padding, int) or self.crop_padding < 0:
            raise ValueError(
                f"crop_padding: expected a whole number of pixels >= 0, got {self.crop_padding!r}"
            )
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(
                f"rotation_degrees: expected 0 to 180 degrees, got {self.rotation_degrees!r}"
            )
        for name, choices in (
            ("padding_colour", get_args(PaddingColour)),
            ("interpolation", get_args(Interpolation)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")


def normalise(images: np.ndarray, mean: RGB, std: RGB) -> np.ndarray:
    """Compute `(images - mean) / std` per channel.

    Args:
        images: uint8 (..., W, 3).
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.

    Returns:
        float32 of the shape of `images`.
    """
    # Whole rows at a time: NumPy's inner loop over 3 channels would take five times as long.
    *outer, width, channels = images.shape
    scale = np.divide(1, std, dtype=np.float32)
    rows = images.reshape(*outer, width * channels)
    result = np.multiply(rows, np.tile(scale, width), dtype=np.float32)
    result -= np.tile(np.multiply(mean, scale, dtype=np.float32), width)
    return result.reshape(images.shape)


def augment(
    images: np.ndarray, augmentation: Augmentation, mean: RGB, std: RGB, rng: np.random.Generator
) -> np.ndarray:
    """Normalise and augment a batch, each image by its own draw.

    Args:
        images: uint8 (B, H, W, 3).
        augmentation: what may happen.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
        rng: decides everything; the draws do not depend on the images.

    Returns:
        float32 (B, H, W, 3), normalised.
    """
    count = len(images)
    flipped = rng.random(count) < 0.5 if augmentation.flip else np.zeros(count, bool)
    padding, limit = augmentation.crop_padding, augmentation.rotation_degrees
    tops, lefts = rng.integers(0, 2 * padding, size=(2, count), endpoint=True)
    degrees = limit * (2 * rng.random((count,), np.float32) - 1)
    black = normalise(np.zeros((1, 3), np.uint8), mean, std)[0]
    fill = black if augmentation.padding_colour == "black" else np.zeros_like(black)

    augmented = np.empty(images.shape, np.float32)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        result = normalise(mirror(images[part], flipped[part]), mean, std)
        if padding:
            result = shift(result, padding, tops[part], lefts[part], fill)
        if limit:
            result = rotate(result, degrees[part], fill, augmentation.interpolation)
        augmented[part] = result
    return augmented


def mirror(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Swap left and right of the chosen images.

    Args:
        images: (B, H, W, C).
        chosen: bool (B,).

    Returns:
        (B, H, W, C), a copy.
    """
    _, height, width, channels = images.shape
    backwards = np.arange(width * channels).reshape(width, channels)[::-1].reshape(-1)
    rows = images.reshape(-1, height, width * channels).copy()
    rows[chosen] = rows[chosen].take(backwards, axis=2)
    return rows.reshape(images.shape)


def shift(
    images: np.ndarray, padding: int, tops: np.ndarray, lefts: np.ndarray, fill: np.ndarray
) -> np.ndarray:
    """Pad each image on all sides and cut a window of its size out again, at its own place.

    Args:
        images: float32 (B, H, W, C).
        padding: pixels added on each side.
        tops: int (B,), first row of each window, 0 to 2 * padding.
        lefts: int (B,), first column of each window, 0 to 2 * padding.
        fill: float32 (C,), the colour of the padding.

    Returns:
        float32 (B, H, W, C), a copy.
    """
    count, height, width, channels = images.shape
    # Pixels are merged with their channels, so that a row of a window is one run of memory.
    rows = images.reshape(count, height, width * channels)
    margin = padding * channels
    padded = np.empty((count, height + 2 * padding, width * channels + 2 * margin), np.float32)
    padded[:] = np.tile(fill, width + 2 * padding)
    padded[:, padding : padding + height, margin : margin + width * channels] = rows
    windows = np.lib.stride_tricks.sliding_window_view(padded, rows.shape[1:], axis=(1, 2))
    return windows[np.arange(count), tops, lefts * channels].reshape(images.shape)
