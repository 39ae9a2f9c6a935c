import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_resnext.data.rotation import rotate

FILL = np.array([0.25, -1.0, 2.0], np.float32)


def slow_rotate(image, degrees, fill, interpolation):
    """Rotate one image, pixel by pixel, in double precision."""
    height, width, _ = image.shape

    def pixel(y, x):
        return image[y, x] if 0 <= y < height and 0 <= x < width else fill

    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            # Where this pixel was before a counter-clockwise turn; rows count downwards.
            right, up = x - centre_x, centre_y - y
            from_x = centre_x + cosine * right + sine * up
            from_y = centre_y - (cosine * up - sine * right)
            if interpolation == "nearest":
                result[y, x] = pixel(math.floor(from_y + 0.5), math.floor(from_x + 0.5))
                continue
            top, left = math.floor(from_y), math.floor(from_x)
            down, over = from_y - top, from_x - left
            result[y, x] = (1 - down) * (
                (1 - over) * pixel(top, left) + over * pixel(top, left + 1)
            ) + down * ((1 - over) * pixel(top + 1, left) + over * pixel(top + 1, left + 1))
    return result


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    angles=st.lists(st.floats(-180, 180), min_size=1, max_size=3),
)
def test_bilinear_is_the_slow_rotation(height, width, angles):
    images = noise(len(angles), height, width, 3)
    expected = [slow_rotate(i, a, FILL, "bilinear") for i, a in zip(images, angles, strict=True)]
    np.testing.assert_allclose(rotate(images, np.array(angles), FILL), expected, atol=2e-5)


@pytest.mark.parametrize("size", [7, 8, 32])
def test_nearest_is_the_slow_rotation(size):
    angles = np.array([-15, -7.3, 0.1, 4.7, 15, 33.3, 100.1])
    images = noise(len(angles), size, size, 3)
    expected = [slow_rotate(i, a, FILL, "nearest") for i, a in zip(images, angles, strict=True)]
    found = rotate(images, angles, FILL, "nearest")
    # Single precision may round a coordinate on the border of two pixels the other way.
    assert np.mean(np.any(found != np.array(expected), axis=-1)) < 0.003


def test_a_quarter_turn_is_counter_clockwise_and_exact():
    images = noise(2, 8, 8, 3)
    for interpolation in ("nearest", "bilinear"):
        result = rotate(images, np.array([90.0, 0.0]), FILL, interpolation)
        np.testing.assert_allclose(result[0], np.rot90(images[0]), atol=1e-5)
        np.testing.assert_array_equal(result[1], images[1])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_what_torchvision_computes(interpolation):
    """As `torchvision.transforms.functional.rotate` does on tensors: a grid, sampled."""
    torch = pytest.importorskip("torch")
    images = noise(5, 32, 32, 3)
    degrees = np.array([-15, -3.3, 0, 8.1, 15], np.float32)
    cosine, sine, zero = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), 0 * degrees
    theta = np.array([[cosine, -sine, zero], [sine, cosine, zero]]).transpose(2, 0, 1)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta), (5, 3, 32, 32), align_corners=False
    )
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        grid,
        mode=interpolation,
        padding_mode="zeros",
        align_corners=False,
    )
    found = rotate(images, degrees, np.zeros(3, np.float32), interpolation)
    difference = np.abs(expected.permute(0, 2, 3, 1).numpy() - found).max(axis=-1)
    assert np.mean(difference > 1e-4) < 0.003
