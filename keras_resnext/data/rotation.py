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
        images: float32 (B, H, W, C).
        degrees: (B,), counter-clockwise.
        fill: float32 (C,), the colour outside the image.
        interpolation: "bilinear" or "nearest".

    Returns:
        float32 (B, H, W, C), a copy.
    """
    count, height, width, channels = images.shape
    x, y = _source_coordinates(degrees, height, width)

    # A frame of one pixel of fill, so that every neighbour exists once coordinates are clipped.
    stride = width + 2
    first = (np.arange(count) * ((height + 2) * stride) + stride + 1)[:, None, None]
    framed = np.empty((count, height + 2, stride), np.float32)
    pixels = framed.reshape(-1)

    if interpolation == "nearest":
        column = np.clip(np.floor(x + np.float32(0.5)), -1, width).astype(np.int32)
        row = np.clip(np.floor(y + np.float32(0.5)), -1, height).astype(np.int32)
        index = first + (row * stride + column)
    else:
        np.clip(x, -1, width, out=x)
        np.clip(y, -1, height, out=y)
        column = np.minimum(np.floor(x), width - 1)
        row = np.minimum(np.floor(y), height - 1)
        right, down = x - column, y - row
        index = first + (row.astype(np.int32) * stride + column.astype(np.int32))

    result = np.empty_like(images)
    # NumPy gathers single numbers several times faster than pixels: one channel at a time.
    for channel in range(channels):
        framed[:] = fill[channel]
        framed[:, 1:-1, 1:-1] = images[..., channel]
        if interpolation == "nearest":
            result[..., channel] = pixels.take(index)
        else:
            a, b, c, d = (pixels[k:].take(index) for k in (0, 1, stride, stride + 1))
            result[..., channel] = _between(_between(a, b, right), _between(c, d, right), down)
    return result


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


def _between(a, b, weight):
    """Compute `a + weight * (b - a)` in the memory of `b`."""
    b -= a
    b *= weight
    b += a
    return b
