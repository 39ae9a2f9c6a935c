"""TrivialAugment Wide: one operation an image, of a random strength, by Pillow."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

STEPS = 30


class Range(NamedTuple):
    """The magnitudes of an operation: 31, evenly from `first` to `last`, if `signed` of any sign.

    Shears are tangents, translations pixels, rotations degrees; the four of an image's looks are
    what is added to 1, the factor that leaves it alone; then come bits kept and the lowest pixel
    value to invert.
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


def require_pillow() -> None:
    """Find out now whether the operations can be computed.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'TrivialAugment needs pillow. Type: pip install "keras-resnext[scripts]"'
        ) from error


def draw_operations(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an operation and its magnitude for each image (Müller & Hutter 2021).

    The operations, and the 31 magnitudes of each, are those of
    `torchvision.transforms.TrivialAugmentWide`, equally likely. Keras has no TrivialAugment; its
    `RandAugment` draws the operations once a batch, by a generator of the backend's own.

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
        fill: uint8 (3,), the colour that shears, translations and rotations uncover.

    Returns:
        uint8 (B, H, W, 3), a copy.
    """
    from PIL import Image

    colour = tuple(fill.tolist())
    result = np.empty_like(images)
    for i, (operation, magnitude) in enumerate(zip(operations, magnitudes, strict=True)):
        image = Image.fromarray(images[i])
        result[i] = transform_one(image, NAMES[operation], float(magnitude), colour)
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
