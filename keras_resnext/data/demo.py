"""A synthetic data set, textures and shapes, to try everything without a download."""

import numpy as np

from keras_resnext.data.dataset import Dataset, Split
from keras_resnext.preprocessing import whole_image

SIZE = 32
SEED = 20161116  # the day the ResNeXt paper appeared


def load_demo(
    train_per_class: int = 300, validation_per_class: int = 50, test_per_class: int = 100
) -> Dataset:
    """Make the demo set: twelve classes of 32x32 images, equally many of each in every part.

    Size, place, tilt, both colors, a brightness gradient and noise vary from image to image, and
    neither color nor any single pixel gives the class away: a linear model fails, a small
    convolutional network does not. Only integer draws, uniform floats, the four operations and the
    square root are used, which IEEE 754 defines: the bytes are the same on every platform.
    """
    parts = (train_per_class, validation_per_class, test_per_class)
    train, validation, test = (_split(stream, count) for stream, count in enumerate(parts))
    pixels = train.images.reshape(-1, 3)
    mean, std = (tuple(value.tolist()) for value in (pixels.mean(axis=0), pixels.std(axis=0)))
    how = whole_image(SIZE, mean, std)
    return Dataset("demo", train, validation, test, CLASS_NAMES, SUPERCLASS_NAMES, how)


def _split(stream: int, per_class: int) -> Split:
    rng = np.random.Generator(np.random.PCG64([SEED, stream]))
    labels = np.arange(per_class * len(CLASS_NAMES), dtype=np.int32) % len(CLASS_NAMES)
    shapes = (labels >= len(TEXTURES)).astype(np.int32)
    return Split(_paint(_figures(labels, rng), rng), labels, shapes)


def _figures(labels, rng):
    """How much of each pixel the figure covers: float32 (N, 32, 32), from 0 to 1."""
    coverage = np.empty((len(labels), SIZE, SIZE), np.float32)
    for label, name in enumerate(CLASS_NAMES):
        members = np.flatnonzero(labels == label)
        draw = _texture if name in TEXTURES else _shape
        coverage[members] = draw(name, len(members), rng)
    return coverage


def _uniform(rng, low, high, count):
    return (low + (high - low) * rng.random(count))[:, None, None]


def _grid(count, rng, spread):
    """Pixel coordinates about a random center, turned a little: x and y, (count, 32, 32)."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    x = axis[None, None, :] - _uniform(rng, -spread, spread, count)
    y = axis[None, :, None] - _uniform(rng, -spread, spread, count)
    half = _uniform(rng, -0.07, 0.07, count)  # tangent of half the angle
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    return cosine * x - sine * y, sine * x + cosine * y


def _texture(name, count, rng):
    x, y = _grid(count, rng, spread=8)
    period = _uniform(rng, 5, 9, count)
    # Both diagonals, so that a mirrored image keeps its class.
    side = 1 - 2 * rng.integers(0, 2, size=(count, 1, 1)) if name == "diagonal stripes" else 1
    return np.clip(1.5 * TEXTURES[name](x, side * y, period) + 0.5, 0, 1)


def _shape(name, count, rng):
    x, y = _grid(count, rng, spread=5)
    size = _uniform(rng, 6, 10, count)
    line = _uniform(rng, 1.2, 1.8, count)  # half the width of a stroke
    return np.clip(SHAPES[name](x, y, size, line) + 0.5, 0, 1)


def _wave(position, period):
    """Evaluate a triangle wave between -1 and 1."""
    phase = position / period
    return 4 * np.abs(phase - np.floor(phase + 0.5)) - 1


def _radius(x, y):
    return np.sqrt(x * x + y * y)


def _box(x, y):
    return np.maximum(np.abs(x), np.abs(y))


def _paint(coverage, rng):
    """Color figure and ground, light and noise on top: uint8 (N, 32, 32, 3)."""
    count = len(coverage)
    ground = rng.integers(40, 216, size=(count, 1, 1, 3)).astype(np.float32)
    # Brighter or darker by channel, at random: no color and no contrast belongs to a class.
    step = rng.integers(40, 90, size=(count, 1, 1, 3)).astype(np.float32)
    figure = ground + step * (1 - 2 * rng.integers(0, 2, size=(count, 1, 1, 3))).astype(np.float32)
    image = ground + coverage[..., None] * (figure - ground)

    axis = (np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2) / (SIZE / 2)
    slopes = rng.integers(-30, 31, size=(2, count, 1, 1)).astype(np.float32)
    image += (slopes[0] * axis[None, None, :] + slopes[1] * axis[None, :, None])[..., None]
    # Two uniform draws make a triangular one: near enough to a normal, and exactly reproducible.
    image += rng.integers(-30, 31, size=image.shape, dtype=np.int8)
    image += rng.integers(-30, 31, size=image.shape, dtype=np.int8)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


# Brightness, -1 to 1 and beyond.
TEXTURES = {
    "horizontal stripes": lambda x, y, period: _wave(y, period),
    "vertical stripes": lambda x, y, period: _wave(x, period),
    "diagonal stripes": lambda x, y, period: _wave((x + y) / np.sqrt(2), period),
    "checkerboard": lambda x, y, period: 2 * _wave(x, 1.3 * period) * _wave(y, 1.3 * period),
    "dots": lambda x, y, period: _wave(x, period) + _wave(y, period) - 0.9,
    "concentric rings": lambda x, y, period: _wave(_radius(x, y), period),
}
# Distance from the edge in pixels, positive inside.
SHAPES = {
    "disc": lambda x, y, size, line: size - _radius(x, y),
    "ring": lambda x, y, size, line: line - np.abs(size - _radius(x, y)),
    "square": lambda x, y, size, line: 0.9 * size - _box(x, y),
    "frame": lambda x, y, size, line: line - np.abs(0.9 * size - _box(x, y)),
    "triangle": lambda x, y, size, line: np.minimum(
        (0.9 * (y + size) - 1.5 * np.abs(x)) / 1.75, 0.8 * size - y
    ),
    "cross": lambda x, y, size, line: np.minimum(
        1.3 * line - np.minimum(np.abs(x), np.abs(y)), size - _box(x, y)
    ),
}
CLASS_NAMES = (*TEXTURES, *SHAPES)
SUPERCLASS_NAMES = ("texture", "shape")
