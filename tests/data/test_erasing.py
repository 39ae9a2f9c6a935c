import math
import random

import numpy as np
import pytest

from keras_resnext.data.erasing import draw_boxes, erase


def boxes_of(count, height, width, probability=1.0, seed=0):
    return draw_boxes(count, height, width, probability, np.random.default_rng(seed))


def slow_box(height, width, rng):
    """The algorithm of torchvision's RandomErasing, one image at a time."""
    for _ in range(10):
        area = height * width * rng.uniform(0.02, 0.33)
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < height and w < width:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    return 0, 0, 0, 0


def test_area_and_aspect_keep_to_their_ranges_and_fill_them():
    top, left, height, width = boxes_of(5000, 64, 64).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height).max() == (left + width).max() == 64
    assert top.min() == left.min() == 0
    # Sides are rounded: what they were before lies half a pixel to either side.
    assert ((height - 0.5) * (width - 0.5) <= 0.33 * 64**2).all()
    assert ((height + 0.5) * (width + 0.5) >= 0.02 * 64**2).all()
    assert ((height - 0.5) / (width + 0.5) <= 3.3).all()
    assert ((height + 0.5) / (width - 0.5) >= 0.3).all()
    shares, aspects = height * width / 64**2, height / width
    assert shares.min() < 0.03
    assert shares.max() > 0.32
    assert aspects.min() < 0.32
    assert aspects.max() > 3.1


# In the flat images most rectangles are too high: they are drawn again, some ten times in vain.
@pytest.mark.parametrize(("height", "width"), [(32, 32), (4, 48)])
def test_boxes_are_distributed_as_the_slow_ones(height, width):
    rng = random.Random(1)
    slow = np.array([slow_box(height, width, rng) for _ in range(4000)])
    fast = boxes_of(4000, height, width, seed=2)
    for summary in (np.mean, np.std):
        scale = np.array([height, width, height, width])
        np.testing.assert_allclose(summary(fast, 0) / scale, summary(slow, 0) / scale, atol=0.03)
    areas = [(boxes[:, 2] * boxes[:, 3]).mean() / (height * width) for boxes in (slow, fast)]
    assert areas[0] == pytest.approx(areas[1], abs=0.01)


def test_as_many_are_erased_as_asked_for():
    erased = [np.mean(boxes_of(5000, 32, 32, p)[:, 2] > 0) for p in (0.0, 0.25, 1.0)]
    assert erased == [0, pytest.approx(0.25, abs=0.03), 1]


def test_an_image_too_small_to_fit_any_is_left_alone():
    assert not boxes_of(100, 1, 1)[:, 2:].any()


def test_erasing_zeroes_the_rectangle_and_nothing_else():
    images = np.ones((2, 5, 6, 3), np.float32)
    erase(images, np.array([[1, 2, 3, 4], [0, 0, 0, 0]]))
    expected = np.ones_like(images)
    for y in (1, 2, 3):
        for x in (2, 3, 4, 5):
            expected[0, y, x] = 0
    np.testing.assert_array_equal(images, expected)


def test_the_generator_decides_everything():
    first, again, other = (boxes_of(50, 32, 32, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
