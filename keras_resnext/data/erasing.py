"""Random Erasing: a rectangle of an image made zero."""

import math

import numpy as np

AREAS = (0.02, 0.33)
ASPECTS = (0.3, 3.3)
ATTEMPTS = 10


def draw_boxes(
    count: int, height: int, width: int, probability: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a rectangle for each image (Zhong et al. 2017).

    The distribution is that of `torchvision.transforms.RandomErasing` with its defaults: area
    uniform in 2 to 33 % of the image, aspect (height to width) log-uniform in 0.3 to 3.3, drawn
    again up to ten times until the rectangle fits. `keras.layers.RandomErasing` draws height and
    width apart, not area and aspect, by a generator of the backend's own.

    Args:
        count: B, images.
        height: of an image, in pixels.
        width: of an image, in pixels.
        probability: with which an image gets a rectangle.
        rng: decides everything.

    Returns:
        int (B, 4): top, left, height and width, in pixels; zeros where nothing is erased.
    """
    lowest, highest = (math.log(aspect) for aspect in ASPECTS)
    areas = height * width * rng.uniform(*AREAS, (ATTEMPTS, count))
    aspects = np.exp(rng.uniform(lowest, highest, (ATTEMPTS, count)))
    sides = np.rint(np.sqrt([areas * aspects, areas / aspects])).astype(int)
    fits = (sides[0] < height) & (sides[1] < width)
    erased = (rng.random(count) < probability) & fits.any(axis=0)
    heights, widths = sides[:, fits.argmax(axis=0), np.arange(count)] * erased
    tops = rng.integers(0, height - heights, endpoint=True) * erased
    lefts = rng.integers(0, width - widths, endpoint=True) * erased
    return np.stack([tops, lefts, heights, widths], axis=1)


def erase(images: np.ndarray, boxes: np.ndarray) -> None:
    """Set a rectangle of each image to zero, in place.

    Args:
        images: float32 (B, H, W, C); zero is the mean colour once they are normalised.
        boxes: int (B, 4): top, left, height and width, in pixels.
    """
    for image, (top, left, height, width) in zip(images, boxes, strict=True):
        image[top : top + height, left : left + width] = 0
