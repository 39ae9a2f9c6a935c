"""Decoding of image files of any kind to squares of one size, on threads."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from keras_resnext.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# No more than these: some of Pillow's other formats start programs, as EPS does Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
NO_IMAGE = "no JPEG, PNG, WebP, GIF, BMP or TIFF image"
LONGEST = 16  # times the shorter side, of what is resized

T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """Why a file gives no image."""

    reason: str


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


def fingerprints(paths: Sequence[Path]) -> list[bytes | Unreadable]:
    """Hash the bytes of each file that begins like an image.

    Args:
        paths: files.

    Returns:
        For each file its SHA-256, or why it is no image: `NO_IMAGE` for an unknown format, else
        what Pillow or the system says. Images over `PIL.Image.MAX_IMAGE_PIXELS`, of which Pillow
        only warns, are refused.

    Raises:
        ImportError: Pillow is not installed.
    """
    with _threads() as pool:
        return list(pool.map(partial(_attempt, _fingerprint), paths))


def decode_files(
    paths: Sequence[Path], preprocessing: Preprocessing
) -> tuple[np.ndarray, dict[Path, str]]:
    """Decode files, turn images upright, convert them to RGB, resize and crop them.

    Args:
        paths: files.
        preprocessing: says how to resize and crop; images are not normalized.

    Returns:
        uint8 (N, image_size, image_size, 3), RGB, of the files that can be read, in their order;
        and the reason for each of the others.

    Raises:
        ImportError: Pillow is not installed.
    """
    side = preprocessing.image_size
    images = np.empty((len(paths), side, side, 3), np.uint8)
    unreadable: dict[Path, str] = {}
    work = partial(_decode, preprocessing=preprocessing)
    with _threads() as pool:
        results = pool.map(partial(_attempt, work), paths)
        for row, (path, result) in enumerate(zip(paths, results, strict=True)):
            if isinstance(result, Unreadable):
                unreadable[path] = result.reason
            else:
                images[row - len(unreadable)] = result
    return images[: len(paths) - len(unreadable)], unreadable


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """One thread per core, all of which refuse decompression bombs. Pillow releases the GIL."""
    require_pillow("reading image files")
    from PIL import Image

    # Set here and not in the threads, because the filters of warnings belong to the process.
    # Pillow's other warnings, of corrupt EXIF for instance, name no file and keep no image back.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count(), "decoding") as pool:
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield pool


def _attempt(work: Callable[[Path], T], path: Path) -> T | Unreadable:
    from PIL import UnidentifiedImageError

    try:
        if path.exists() and not path.is_file():
            return Unreadable("no regular file")  # a pipe would be waited for, without end
        return work(path)
    except UnidentifiedImageError:
        return Unreadable(NO_IMAGE)
    except Exception as error:  # Pillow raises nearly any kind for a damaged file
        return Unreadable(str(error) or type(error).__name__)


def _fingerprint(path: Path) -> bytes:
    from PIL import Image

    with open(path, "rb") as file:
        Image.open(file, formats=FORMATS)  # reads the header and no more
        file.seek(0)
        return hashlib.file_digest(file, "sha256").digest()


def _decode(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(image_to_square(_to_rgb(image), preprocessing))


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


decode, resize_and_crop = decode_files, image_to_square  # until the old modules are gone
