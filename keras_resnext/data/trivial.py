"""TrivialAugment Wide, by Pillow: one operation of random strength per image."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

STEPS = 30


# By operation: the first and the last of 31 evenly spaced magnitudes, and whether they take either
# sign. Shears are tangents, translations pixels, rotations degrees; brightness, color, contrast and
# sharpness add theirs to 1, the factor that changes nothing; posterize keeps so many bits, and
# solarize inverts from such a pixel value on.
RANGES = {
    "Identity": (0, 0, False),
    "ShearX": (0, 0.99, True),
    "ShearY": (0, 0.99, True),
    "TranslateX": (0, 32, True),
    "TranslateY": (0, 32, True),
    "Rotate": (0, 135, True),
    "Brightness": (0, 0.99, True),
    "Color": (0, 0.99, True),
    "Contrast": (0, 0.99, True),
    "Sharpness": (0, 0.99, True),
    "Posterize": (8, 2, False),
    "Solarize": (255, 0, False),
    "AutoContrast": (0, 0, False),
    "Equalize": (0, 0, False),
}
NAMES = tuple(RANGES)


def draw_operations(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw operations, indices into `NAMES`, and magnitudes, as in `RANGES` (Müller & Hutter 2021).

    They are those of `torchvision.transforms.TrivialAugmentWide`, equally likely.
    """
    operations = rng.integers(len(NAMES), size=count)
    first, last, signed = np.array(list(RANGES.values()))[operations].T
    magnitudes = first + (last - first) * rng.integers(STEPS, size=count, endpoint=True) / STEPS
    signs = 1 - 2 * signed * rng.integers(2, size=count)
    return operations, signs * magnitudes


def each(images: np.ndarray, function: Callable[["PILImage", int], "PILImage"]) -> np.ndarray:
    """Apply a function that keeps the size to each of uint8 (B, H, W, 3), with its number."""
    from PIL import Image

    result = np.empty_like(images)
    for i, image in enumerate(images):
        result[i] = function(Image.fromarray(image), i)
    return result


def transform_one(
    image: "PILImage", name: str, magnitude: float, fill: tuple[int, ...]
) -> "PILImage":
    """Apply an operation to an RGB image, equal to torchvision's for the same magnitude.

    (A translation by 16 pixels is one by 15 there, since its float32 ends just below.)
    """
    from PIL import Image, ImageEnhance, ImageOps

    matrices = {  # the pixel at (x, y) is read from (a x + b y + c, d x + e y + f)
        "ShearX": (1, magnitude, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, magnitude, 1, 0),
        "TranslateX": (1, 0, -int(magnitude), 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, -int(magnitude)),
    }
    if matrix := matrices.get(name):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=fill)
    match name:
        case "Identity":
            return image
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
