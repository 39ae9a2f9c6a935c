"""What happens to a training image, each by its own draw: the same on every backend."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from keras_resnext.data import erasing, trivial
from keras_resnext.data.rotation import Interpolation, rotate
from keras_resnext.preprocessing import RGB

# Images worked on at a time. Intermediate arrays then stay in the cache and in memory that malloc
# keeps: a whole batch at a time takes three times as long, nearly all of it in page faults.
CHUNK = 16

PaddingColour = Literal["mean", "black"]
Policy = Literal["none", "trivialaugment"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image: flip, crop, policy, rotation and erasing, in this order.

    Attributes:
        crop_padding: pixels added on each side before a crop back to the image's size, so the
            image moves by up to this much each way. 0: no crop.
        flip: mirror left and right with probability one half.
        rotation_degrees: rotate about the centre by an angle uniform in
            [-rotation_degrees, rotation_degrees]. 0: no rotation.
        padding_colour: what crop, rotation and policy uncover. "mean" is zero after normalising, as
            in the ResNeXt authors' code; "black" is pixel value 0 before it, as torchvision's
            transforms on images have it. A policy needs whole pixel values: there crop and policy
            uncover the mean rounded.
        interpolation: of the rotation: "bilinear", or "nearest" as torchvision defaults to.
        policy: "trivialaugment" for TrivialAugment Wide, on pixels not yet normalised.
        erasing: probability of Random Erasing, which sets a rectangle to zero after normalising.

    Raises:
        ValueError: a field is out of range.
        ImportError: the policy needs Pillow, which is not installed.
    """

    crop_padding: int = 0
    flip: bool = False
    rotation_degrees: float = 0.0
    padding_colour: PaddingColour = "mean"
    interpolation: Interpolation = "bilinear"
    policy: Policy = "none"
    erasing: float = 0.0

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
            ("policy", get_args(Policy)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"erasing: expected a probability, 0 to 1, got {self.erasing!r}")
        if self.policy == "trivialaugment":
            trivial.require_pillow()


class Draws(NamedTuple):
    """What is drawn for each image of a batch; every array has a row an image.

    Attributes:
        flipped: bool (B,).
        tops: int (B,), as `shift` has them.
        lefts: int (B,), as `shift` has them.
        degrees: float32 (B,), of the rotation.
        operations: int (B,), of the policy.
        magnitudes: float64 (B,), of the policy.
        boxes: int (B, 4), erased.
    """

    flipped: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray
    degrees: np.ndarray
    operations: np.ndarray
    magnitudes: np.ndarray
    boxes: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Draws":
        """Of the images at `rows` only."""
        return Draws(*(array[rows] for array in self))


def draw(
    augmentation: Augmentation, count: int, height: int, width: int, rng: np.random.Generator
) -> Draws:
    """Draw what happens to each image of a batch.

    Args:
        augmentation: what may happen.
        count: B, images.
        height: of an image, in pixels.
        width: of an image, in pixels.
        rng: decides everything.
    """
    flipped = rng.random(count) < 0.5 if augmentation.flip else np.zeros(count, bool)
    tops, lefts = rng.integers(0, 2 * augmentation.crop_padding, size=(2, count), endpoint=True)
    degrees = augmentation.rotation_degrees * (2 * rng.random((count,), np.float32) - 1)
    operations, magnitudes = np.zeros(count, int), np.zeros(count)
    if augmentation.policy == "trivialaugment":
        operations, magnitudes = trivial.draw_operations(count, rng)
    boxes = np.zeros((count, 4), int)
    if augmentation.erasing:
        boxes = erasing.draw_boxes(count, height, width, augmentation.erasing, rng)
    return Draws(flipped, tops, lefts, degrees, operations, magnitudes, boxes)


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
    images: np.ndarray, augmentation: Augmentation, draws: Draws, mean: RGB, std: RGB
) -> np.ndarray:
    """Normalise and augment images, each by its own draw.

    Args:
        images: uint8 (B, H, W, 3).
        augmentation: what `draws` were drawn for.
        draws: of these images.
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.

    Returns:
        float32 (B, H, W, 3), normalised.
    """
    padding = augmentation.crop_padding
    black = augmentation.padding_colour == "black"
    colour = np.zeros(3, np.uint8) if black else np.rint(mean).astype(np.uint8)
    fill = normalise(colour[None], mean, std)[0] if black else np.zeros(3, np.float32)

    augmented = np.empty(images.shape, np.float32)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        drawn = draws.take(part)
        pixels = mirror(images[part], drawn.flipped)
        if augmentation.policy == "trivialaugment":
            # Torchvision's reference crops before the policy, and the policy wants bytes.
            pixels = shift(pixels, padding, drawn.tops, drawn.lefts, colour)
            pixels = trivial.transform(pixels, drawn.operations, drawn.magnitudes, colour)
            result = normalise(pixels, mean, std)
        else:
            result = normalise(pixels, mean, std)
            if padding:
                result = shift(result, padding, drawn.tops, drawn.lefts, fill)
        if augmentation.rotation_degrees:
            result = rotate(result, drawn.degrees, fill, augmentation.interpolation)
        if augmentation.erasing:
            erasing.erase(result, drawn.boxes)
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
        images: uint8 or float32 (B, H, W, C).
        padding: pixels added on each side.
        tops: int (B,), first row of each window, 0 to 2 * padding.
        lefts: int (B,), first column of each window, 0 to 2 * padding.
        fill: (C,), the colour of the padding, of the type of `images`.

    Returns:
        (B, H, W, C), a copy.
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
