"""Decoding of image files of any kind to squares of one size, on threads."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_resnext.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# No more than these: some of Pillow's other formats start programs, as EPS does Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
NO_IMAGE = "no JPEG, PNG, WebP, GIF, BMP or TIFF image"
LONGEST = 16  # times the shorter side, of what is resized


def require_pillow(what: str) -> None:
    """Check that Pillow is installed.

    Args:
        what: that needs it, as the error says it.

    Raises:
        ImportError: it is not; the message says how to install it.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{what} needs pillow. Type: pip install "keras-resnext[train]"'
        ) from error


def decode_files(
    paths: Sequence[Path], preprocessing: Preprocessing
) -> tuple[np.ndarray, dict[Path, str]]:
    """Decode files, turn images upright, convert them to RGB, resize and crop them.

    Args:
        paths: files.
        preprocessing: says how to resize and crop; images are not normalized.

    Returns:
        uint8 (N, image_size, image_size, 3), RGB, of the files that can be read, in their order;
        and the reason for each of the others: `NO_IMAGE` for an unknown format, else what Pillow
        or the system says. Images over `PIL.Image.MAX_IMAGE_PIXELS`, of which Pillow only warns,
        cannot.

    Raises:
        ImportError: Pillow is not installed.
    """
    require_pillow("reading image files")
    from PIL import Image

    side = preprocessing.image_size
    images = np.empty((len(paths), side, side, 3), np.uint8)
    unreadable: dict[Path, str] = {}
    # Pillow releases the GIL. The filters of warnings belong to the process, so they are set here.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count(), "decoding") as pool:
        # Those of corrupt EXIF, for instance, name no file and keep no image back.
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        results = pool.map(partial(_decode, preprocessing=preprocessing), paths)
        for row, (path, result) in enumerate(zip(paths, results, strict=True)):
            if isinstance(result, str):
                unreadable[path] = result
            else:
                images[row - len(unreadable)] = result
    return images[: len(paths) - len(unreadable)], unreadable


def _decode(path: Path, preprocessing: Preprocessing) -> np.ndarray | str:
    """Decode one file; a string says why it cannot be."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if path.exists() and not path.is_file():
            return "no regular file"  # a pipe would be waited for, without end
        with Image.open(path, formats=FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(image_to_square(_to_rgb(image), preprocessing))
    except UnidentifiedImageError:
        return NO_IMAGE
    except Exception as error:  # Pillow raises nearly any kind for a damaged file
        return str(error) or type(error).__name__


def image_to_square(image: "PILImage", preprocessing: Preprocessing) -> "PILImage":
    """Resize the shorter side of an image and crop a square at the center.

    Equal to torchvision's `Resize` and `CenterCrop` on PIL images. Pillow could compute the square
    alone, by `resize(box=...)`, but its box is of float32 and its order of the two directions
    depends on sizes: pixels would differ.

    Args:
        image: of any size. Of one longer than 16 times its shorter side, which resized as a whole
            might not fit into memory, no more than that about the center is used.
        preprocessing: says how.

    Returns:
        An image of `image_size` by `image_size`.
    """
    from PIL import Image

    shorter = min(image.size)
    limit = LONGEST * shorter
    if max(image.size) > limit:
        image = _center_crop(image, min(image.width, limit), min(image.height, limit))
    width, height = (preprocessing.resize_size * side // shorter for side in image.size)
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    resized = image.resize((width, height), resampling)
    return _center_crop(resized, preprocessing.image_size, preprocessing.image_size)


def _center_crop(image: "PILImage", width: int, height: int) -> "PILImage":
    """Crop, rounding as torchvision does."""
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _to_rgb(image: "PILImage") -> "PILImage":
    from PIL import Image

    if image.mode.startswith("I;16"):
        # The high byte, as Pillow takes it of 16-bit colors; its conversion of gray clips at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels, which have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
