import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_resnext.data import Augmentation, normalise
from keras_resnext.data.augmentation import augment, mirror, shift

MEAN, STD = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)
BLACK = np.array([-2, -2, -2], np.float32)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def run(images, augmentation, seed=0):
    return augment(images, augmentation, MEAN, STD, np.random.default_rng(seed))


def test_normalise_is_the_formula():
    images = pixels(5, 6, 7, 3)
    result = normalise(images, MEAN, STD)
    assert result.dtype == np.float32
    expected = (images.astype(np.float64) - MEAN) / STD
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def slow_shift(images, padding, tops, lefts, fill):
    count, height, width, _ = images.shape
    result = np.empty_like(images)
    for i in range(count):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y + tops[i] - padding, x + lefts[i] - padding
                inside = 0 <= from_y < height and 0 <= from_x < width
                result[i, y, x] = images[i, from_y, from_x] if inside else fill
    return result


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_shift_is_the_slow_shift(count, height, width, padding, seed):
    rng = np.random.default_rng(seed)
    images = rng.random((count, height, width, 3), np.float32)
    tops, lefts = rng.integers(0, 2 * padding + 1, (2, count))
    fill = rng.random(3, np.float32)
    np.testing.assert_array_equal(
        shift(images, padding, tops, lefts, fill),
        slow_shift(images, padding, tops, lefts, fill),
    )


def test_mirror_turns_only_the_chosen():
    images = pixels(3, 4, 5, 3)
    result = mirror(images, np.array([True, False, True]))
    np.testing.assert_array_equal(result[0], images[0][:, ::-1])
    np.testing.assert_array_equal(result[1], images[1])
    np.testing.assert_array_equal(result[2], images[2][:, ::-1])


def test_nothing_asked_is_normalising_alone():
    images = pixels(40, 8, 8, 3)
    np.testing.assert_array_equal(run(images, Augmentation()), normalise(images, MEAN, STD))


def test_every_shift_and_both_sides_occur_and_nothing_else():
    image = pixels(1, 6, 6, 3)
    batch = np.repeat(image, 400, axis=0)
    result = run(batch, Augmentation(crop_padding=1, flip=True))
    padded = np.zeros((8, 8, 3), np.float32)
    candidates = set()
    for side in (1, -1):
        padded[1:7, 1:7] = normalise(image, MEAN, STD)[0, :, ::side]
        candidates |= {padded[y : y + 6, x : x + 6].tobytes() for y in range(3) for x in range(3)}
    assert len(candidates) == 18
    assert {sample.tobytes() for sample in result} == candidates


@pytest.mark.parametrize(("colour", "value"), [("mean", 0 * BLACK), ("black", BLACK)])
def test_the_padding_has_the_colour_asked_for(colour, value):
    white = np.full((64, 4, 4, 3), 255, np.uint8)
    for augmentation in (
        Augmentation(crop_padding=4, padding_colour=colour),
        Augmentation(rotation_degrees=180, padding_colour=colour, interpolation="nearest"),
    ):
        found = np.unique(run(white, augmentation).reshape(-1, 3), axis=0)
        expected = np.stack([value, normalise(white[:1, :1, :1], MEAN, STD)[0, 0, 0]])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_angles_fill_the_range_and_stay_within_it():
    # A bright dot right of the centre tells the angle by where it goes.
    image = np.zeros((201, 201, 3), np.uint8)
    image[99:102, 179:182] = 255
    result = run(np.repeat(image[None], 100, axis=0), Augmentation(rotation_degrees=30))
    bright = result[..., 0] - result[..., 0].min()
    y, x = (np.arange(201) - 100) @ bright.sum(axis=2).T, (np.arange(201) - 100) @ bright.sum(1).T
    degrees = np.rad2deg(np.arctan2(-y, x))
    assert -30.5 < degrees.min() < -25
    assert 25 < degrees.max() < 30.5


def test_the_generator_decides_everything_and_the_input_is_left_alone():
    images = pixels(40, 8, 8, 3)
    before = images.copy()
    augmentation = Augmentation(crop_padding=2, flip=True, rotation_degrees=15)
    first, again, other = (run(images, augmentation, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_padding", -1),
        ("crop_padding", 1.5),
        ("rotation_degrees", -15),
        ("rotation_degrees", 181),
        ("padding_colour", "grey"),
        ("interpolation", "bicubic"),
    ],
)
def test_fields_are_checked(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected .* got {value!r}$"):
        Augmentation(**{field: value})
