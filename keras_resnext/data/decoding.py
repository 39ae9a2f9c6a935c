"""Image files as pixels: decoded on threads, when they are needed, to squares of one size."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_resnext.data.trivial import each
from keras_resnext.files import escape, require
from keras_resnext.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# No more than these: some of Pillow's other formats start programs, as EPS does Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF", "HEIF")
NO_IMAGE = "no JPEG, PNG, WebP, GIF, BMP, PPM, TIFF, AVIF or HEIC image"
NO_HEIF = "a HEIC image, which needs pillow-heif. Type: pip install pillow-heif"
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
LONGEST = 16  # times the shorter side, of what is resized
NEIGHBORS = 100  # tried in the place of a damaged file; more are a broken disk


class ImageFiles:
    """Image files in the place of an array of images, decoded when they are indexed.

    A file that cannot be decoded gives the image of the next one that can (the first follows the
    last), and is reported once, by name, on stdout. Images are resized by the preprocessing, not
    normalized: uint8 (N, image_size, image_size, 3).

    Attributes:
        rows: int (N,), the row that gave each row's image when it was read last: its own, but for
            a damaged file. Labels belong to these.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, paths: Sequence[str] | np.ndarray, preprocessing: Preprocessing):
        require("PIL.Image", "reading image files needs pillow")
        self.paths = np.array(paths, object)
        self.preprocessing = preprocessing
        self.shape = (len(paths), preprocessing.image_size, preprocessing.image_size, 3)
        self.rows = np.arange(len(paths))
        self._reported: set[str] = set()

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, rows) -> np.ndarray:
        """Decode some images, on threads."""
        wanted = np.arange(len(self))[rows]
        images = list(pool().map(self.read, np.atleast_1d(wanted)))
        return np.array(images, np.uint8).reshape(*wanted.shape, *self.shape[1:])

    def take(self, rows: np.ndarray, axis: int = 0) -> "ImageFiles":
        """Return the files at `rows`, in that order, as an array's `take`; none is decoded."""
        return ImageFiles(self.paths[rows], self.preprocessing)

    def read(
        self, row: int, to_square: "Callable[[PILImage, int], PILImage] | None" = None, i: int = 0
    ) -> np.ndarray:
        """Decode one image, in this thread, by `image_to_square` or another function of it and `i`.

        Raises:
            OSError: neither it nor any of the files after it can be decoded.
        """
        how = self.preprocessing
        for neighbor in range(row, row + min(len(self), NEIGHBORS)):
            path = self.paths[neighbor % len(self)]
            try:
                image = decode(path)
                square = to_square(image, i) if to_square else image_to_square(image, how)
            except Exception as error:
                if path not in self._reported:
                    self._reported.add(path)
                    print(escape(f"{path}: {reason(error)}; the next image takes its place"))
                continue
            self.rows[row] = neighbor % len(self)
            return np.asarray(square)
        raise OSError(f"none of the images from {self.paths[row]} on can be read")


def read(
    images: np.ndarray | ImageFiles,
    rows: np.ndarray,
    to_square: "Callable[[PILImage, int], PILImage] | None" = None,
) -> np.ndarray:
    """Read images in this thread, each made from its original by `to_square(image, number)`."""
    if isinstance(images, ImageFiles):
        decoded = [images.read(row, to_square, i) for i, row in enumerate(rows)]
        return np.stack(decoded) if len(decoded) > 1 else decoded[0][None]
    return each(images[rows], to_square) if to_square else images[rows]


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads that all decoding shares; Pillow releases the GIL."""
    return ThreadPoolExecutor(os.cpu_count(), "decoding")


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that Pillow can read here, HEIF by the plug-in pillow-heif."""
    from PIL import Image

    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(format for format in FORMATS if format in Image.OPEN)


@contextmanager
def open_image(path: str | Path) -> "Iterator[PILImage]":
    """Open an image file, and read its header only.

    Raises:
        ValueError: it is no image that can be used; other errors, of nearly any kind, by Pillow.
    """
    from PIL import Image, UnidentifiedImageError

    if not os.path.isfile(path):  # a pipe would be waited for, without end
        raise ValueError("no regular file" if os.path.exists(path) else "no such file")
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            brand = file.read(12)[4:]
        heif = brand[:4] == b"ftyp" and brand[4:] in HEIF_BRANDS
        raise ValueError(NO_HEIF if heif else NO_IMAGE) from None
    with image:
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns
            raise ValueError(f"{image.width}x{image.height} pixels, over PIL's MAX_IMAGE_PIXELS")
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels, which have no fixed range; save it with 8 or 16 bits")
        yield image


def reason(error: Exception) -> str:
    """Say why a file cannot be opened or decoded."""
    return str(error) or type(error).__name__


def decode(path: str | Path) -> "PILImage":
    """Decode a file to an upright RGB image; raises as `open_image`."""
    from PIL import ImageOps

    with open_image(path) as image:
        image.load()
        with suppress(Exception):  # of nearly any kind, where EXIF is damaged and pixels are not
            ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def decode_files(
    paths: Sequence[Path], preprocessing: Preprocessing
) -> tuple[np.ndarray, dict[Path, str]]:
    """Decode files, on threads.

    Returns:
        uint8 (N, image_size, image_size, 3), RGB, of the files that can be read, in their order;
        and what is wrong with each of the others.
    """
    require("PIL.Image", "reading image files needs pillow")

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return np.asarray(image_to_square(decode(path), preprocessing))
        except Exception as error:
            return reason(error)

    # The filters of warnings belong to the process, so they are set here and not in the threads.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # corrupt EXIF, for instance: no file named
        results = list(pool().map(attempt, paths))
    images = [result for result in results if not isinstance(result, str)]
    pairs = zip(paths, results, strict=True)
    unreadable = {path: result for path, result in pairs if isinstance(result, str)}
    side = preprocessing.image_size
    return np.array(images, np.uint8).reshape(-1, side, side, 3), unreadable


def image_to_square(image: "PILImage", preprocessing: Preprocessing) -> "PILImage":
    """Resize the shorter side of an image and crop a square at the center.

    Equal to torchvision's `Resize` and `CenterCrop` on PIL images. (Pillow's `resize(box=...)`
    would compute the square alone, but other pixels.) Of an image longer than 16 times its shorter
    side, which resized might not fit into memory, only so much about the center is used.
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

    if image.mode == "RGB" and not image.has_transparency_data:
        image.load()
        return image
    if image.mode.startswith("I;16"):
        # The high byte, as Pillow takes it of 16-bit colors; its conversion of gray clips at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
