"""TrivialAugment Wide: one operation of random strength per image; and rotation. Both by Pillow."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

STEPS = 30


class Range(NamedTuple):
    """The 31 magnitudes of an operation, evenly from `first` to `last`, if `signed` of either sign.

    Shears are tangents, translations pixels, rotations degrees; for brightness, color, contrast
    and sharpness they are added to 1, the factor that changes nothing; posterize keeps this many
    bits, and solarize inverts from this pixel value on.
    """

    first: float = 0.0
    last: float = 0.0
    signed: bool = False


RANGES = {
    "Identity": Range(),
    "ShearX": Range(0, 0.99, signed=True),
    "ShearY": Range(0, 0.99, signed=True),
    "TranslateX": Range(0, 32, signed=True),
    "TranslateY": Range(0, 32, signed=True),
    "Rotate": Range(0, 135, signed=True),
    "Brightness": Range(0, 0.99, signed=True),
    "Color": Range(0, 0.99, signed=True),
    "Contrast": Range(0, 0.99, signed=True),
    "Sharpness": Range(0, 0.99, signed=True),
    "Posterize": Range(8, 2),
    "Solarize": Range(255, 0),
    "AutoContrast": Range(),
    "Equalize": Range(),
}
NAMES = tuple(RANGES)


def draw_operations(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an operation and its magnitude for each image (Müller & Hutter 2021).

    The operations, and the 31 magnitudes of each, are those of
    `torchvision.transforms.TrivialAugmentWide`, equally likely. Keras has no TrivialAugment; its
    `RandAugment` draws the operations once per batch, by a generator of the backend's own.

    Args:
        count: B, images.
        rng: decides everything.

    Returns:
        int (B,), indices into `NAMES`, and float64 (B,), magnitudes as `Range` explains.
    """
    operations = rng.integers(len(NAMES), size=count)
    first, last, signed = np.array(list(RANGES.values()))[operations].T
    magnitudes = first + (last - first) * rng.integers(STEPS, size=count, endpoint=True) / STEPS
    signs = 1 - 2 * signed * rng.integers(2, size=count)
    return operations, signs * magnitudes


def transform(
    images: np.ndarray, operations: np.ndarray, magnitudes: np.ndarray, fill: np.ndarray
) -> np.ndarray:
    """Apply to each image its own operation.

    Args:
        images: uint8 (B, H, W, 3).
        operations: int (B,), indices into `NAMES`.
        magnitudes: float (B,), as `Range` explains.
        fill: uint8 (3,), the color that shears, translations and rotations uncover.

    Returns:
        uint8 (B, H, W, 3), a copy.
    """
    color = tuple(fill.tolist())
    return _each(
        images,
        lambda image, i: transform_one(image, NAMES[operations[i]], float(magnitudes[i]), color),
    )


def rotate(images: np.ndarray, degrees: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Rotate each image about its center, to the nearest pixel, keeping the size.

    Equal to what `torchvision.transforms.RandomRotation` makes of PIL images by default.

    Args:
        images: uint8 (B, H, W, 3).
        degrees: float (B,), counterclockwise.
        fill: uint8 (3,), the color outside the image.

    Returns:
        uint8 (B, H, W, 3), a copy.
    """
    color = tuple(fill.tolist())
    return _each(images, lambda image, i: image.rotate(float(degrees[i]), fillcolor=color))


def _each(images: np.ndarray, function: Callable[["Image", int], "Image"]) -> np.ndarray:
    from PIL import Image

    result = np.empty_like(images)
    for i, image in enumerate(images):
        result[i] = function(Image.fromarray(image), i)
    return result


def transform_one(image: "Image", name: str, magnitude: float, fill: tuple[int, ...]) -> "Image":
    """Apply an operation to an RGB image, with the nearest pixel where one moves.

    Equal to what torchvision computes on PIL images, where torchvision gives the same magnitude: a
    translation by 16 pixels is one by 15 there, since its float32 ends just below.
    """
    from PIL import ImageEnhance, ImageOps

    match name:
        case "Identity":
            return image
        case "ShearX":
            return _affine(image, (1, magnitude, 0, 0, 1, 0), fill)
        case "ShearY":
            return _affine(image, (1, 0, 0, magnitude, 1, 0), fill)
        case "TranslateX":
            return _affine(image, (1, 0, -int(magnitude), 0, 1, 0), fill)
        case "TranslateY":
            return _affine(image, (1, 0, 0, 0, 1, -int(magnitude)), fill)
        case "Rotate":
            return image.rotate(magnitude, fillcolor=fill)
        case "Posterize":
            return ImageOps.posterize(image, round(magnitude))
        case "Solarize":
            return ImageOps.solarize(image, math.ceil(magnitude))
        case "AutoContrast":
            return ImageOps.autocontrast(image)
        case "Equalize":
            return ImageOps.equalize(image)
        case _:  # Brightness, Color, Contrast and Sharpness, as Pillow names them too
            return getattr(ImageEnhance, name)(image).enhance(1 + magnitude)


def _affine(image, matrix, fill):
    """Read the pixel at (x, y) from (a x + b y + c, d x + e y + f), as Pillow writes a matrix."""
    from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=fill)
