"""Random crop, flip and rotation, per sample, in NumPy: the same on every backend."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from keras_resnext.data.dataset import RGB
from keras_resnext.data.rotation import Interpolation, rotate

PaddingColour = Literal["mean", "black"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image: crop, then flip, then rotation.

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


def normalise(images: np.ndarray, mean: RGB, std: RGB, out: np.ndarray | None = None) -> np.ndarray:
    """`(images - mean) / std` per channel, as one multiplication and one addition.

    Args:
        images: uint8 (..., 3).
        mean: per channel, in pixel units (0 to 255).
        std: per channel, in pixel units.
        out: where to write; float32 of the shape of `images`.

    Returns:
        float32 of the shape of `images`; `out` where given.
    """
    scale = np.divide(1, std, dtype=np.float32)
    out = np.multiply(images, scale, out=out, dtype=np.float32)
    out -= np.multiply(mean, scale, dtype=np.float32)
    return out


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
    count, height, width, _ = images.shape
    padding = augmentation.crop_padding
    fill = np.zeros(3, np.float32)
    if augmentation.padding_colour == "black":
        fill = normalise(np.zeros(3, np.uint8), mean, std)

    shape = (count, height + 2 * padding, width + 2 * padding, 3)
    padded = np.empty(shape, np.float32)
    if padding:
        padded[:] = fill
    normalise(
        images, mean, std, out=padded[:, padding : padding + height, padding : padding + width]
    )
    if padding:
        tops, lefts = rng.integers(0, 2 * padding, size=(2, count), endpoint=True)
        padded = crop(padded, tops, lefts, height, width)
    if augmentation.flip:
        flipped = rng.random(count) < 0.5
        padded[flipped] = padded[flipped, :, ::-1]
    if augmentation.rotation_degrees:
        limit = augmentation.rotation_degrees
        degrees = limit * (2 * rng.random((count,), np.float32) - 1)
        padded = rotate(padded, degrees, fill, augmentation.interpolation)
    return padded


def crop(
    images: np.ndarray, tops: np.ndarray, lefts: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Cut a window out of each image, at its own place.

    Args:
        images: (B, H, W, C), contiguous.
        tops: int (B,), first row of each window; the caller keeps it within the image.
        lefts: int (B,), first column of each window.
        height: rows of a window.
        width: columns of a window.

    Returns:
        (B, height, width, C), a copy.
    """
    count, full_height, full_width, channels = images.shape
    image, row, column, item = images.strides
    # All windows as one view. Pixels are merged with their channels so that a row of a window is
    # one contiguous run: several times faster to copy than 3-channel pixels.
    windows = np.lib.stride_tricks.as_strided(
        images,
        shape=(
            count,
            full_height - height + 1,
            full_width - width + 1,
            height,
            width * channels,
        ),
        strides=(image, row, column, row, item),
        writeable=False,
    )
    cut = windows[np.arange(count), tops, lefts]
    return cut.reshape(count, height, width, channels)
