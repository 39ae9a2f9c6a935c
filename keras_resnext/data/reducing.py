"""Batches of images at a smaller size, for the first epochs of a training."""

from functools import cache

import numpy as np


def reduce_size(images: np.ndarray, size: int) -> np.ndarray:
    """Average over areas: each new pixel is the mean of what it covers.

    Args:
        images: float32 (B, H, W, C), H and W at least `size`.
        size: height and width of the result, in pixels.

    Returns:
        float32 (B, size, size, C).
    """
    rows, columns = (_areas(length, size) for length in images.shape[1:3])
    reduced = np.einsum("ih,bhwc->biwc", rows, images, optimize=True)
    return np.ascontiguousarray(np.einsum("jw,biwc->bijc", columns, reduced, optimize=True))


@cache
def _areas(length: int, size: int) -> np.ndarray:
    """Share of each of `length` pixels in each of `size` new ones: float32 (size, length)."""
    if size > length:
        raise ValueError(f"small_sizes: expected at most the images' {length} pixels, got {size}")
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, None) * (size / length)).astype(np.float32)
