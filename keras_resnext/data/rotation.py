"""Rotation of a batch of images, each by its own angle, in NumPy."""

from typing import Literal

import numpy as np

Interpolation = Literal["bilinear", "nearest"]


def rotate(
    images: np.ndarray,
    degrees: np.ndarray,
    fill: np.ndarray,
    interpolation: Interpolation = "bilinear",
) -> np.ndarray:
    """Rotate counter-clockwise about the centre, keeping the size.

    The geometry is that of `torchvision.transforms.RandomRotation` with its defaults: pixel centres
    lie at whole numbers, the centre at ((W - 1) / 2, (H - 1) / 2), and what lies outside the image
    reads `fill`, also as a neighbour in bilinear interpolation.

    Args:
        images: float32 (B, H, W, 3).
        degrees: (B,), counter-clockwise.
        fill: float32 (3,), the colour outside the image.
        interpolation: "bilinear" or "nearest".

    Returns:
        float32 (B, H, W, 3), a copy.
    """
    count, height, width, _ = images.shape
    x, y = _source_coordinates(degrees, height, width)

    # A frame of one pixel of fill, so that every neighbour exists once coordinates are clipped, and
    # a fourth channel, so that a pixel is one 16-byte item: gathered as such, several times faster.
    framed = np.empty((count, height + 2, width + 2, 4), np.float32)
    framed[..., :3] = fill
    framed[..., 3] = 0
    framed[:, 1:-1, 1:-1, :3] = images
    pixels = framed.view(np.complex128).reshape(-1)
    first = (np.arange(count, dtype=np.int32) * ((height + 2) * (width + 2)))[:, None, None]

    if interpolation == "nearest":
        column = np.clip(np.floor(x + np.float32(0.5)), -1, width).astype(np.int32)
        row = np.clip(np.floor(y + np.float32(0.5)), -1, height).astype(np.int32)
        result = _gather(pixels, first + (row + 1) * (width + 2) + (column + 1))
        return np.ascontiguousarray(result[..., :3])

    np.clip(x, -1, width, out=x)
    np.clip(y, -1, height, out=y)
    column = np.minimum(np.floor(x), width - 1)
    row = np.minimum(np.floor(y), height - 1)
    right = (x - column)[..., None]
    down = (y - row)[..., None]
    index = first + (row.astype(np.int32) + 1) * (width + 2) + (column.astype(np.int32) + 1)

    upper = _between(_gather(pixels, index), _gather(pixels, index + 1), right)
    index += width + 2
    lower = _between(_gather(pixels, index), _gather(pixels, index + 1), right)
    return np.ascontiguousarray(_between(upper, lower, down)[..., :3])


def _source_coordinates(degrees, height, width):
    """Where each pixel of the result lies in the source: x and y, float32 (B, H, W)."""
    radians = np.deg2rad(np.asarray(degrees, np.float32))[:, None, None]
    cosine, sine = np.cos(radians), np.sin(radians)
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, None, :]
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[None, :, None]
    # Rows count downwards, so the inverse of a counter-clockwise turn has this sign.
    return (
        cosine * x - sine * y + np.float32((width - 1) / 2),
        sine * x + cosine * y + np.float32((height - 1) / 2),
    )


def _gather(pixels, index):
    return pixels.take(index).view(np.float32).reshape(*index.shape, 4)


def _between(a, b, weight):
    """Compute `a + weight * (b - a)` in the memory of `b`."""
    b -= a
    b *= weight
    b += a
    return b
