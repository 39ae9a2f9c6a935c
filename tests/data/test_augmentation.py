import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_resnext.data import Augmentation, normalise
from keras_resnext.data.augmentation import augment, draw, mirror, shift
from keras_resnext.data.trivial import NAMES, transform_one

MEAN, STD = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)
BLACK = np.array([-2, -2, -2], np.float32)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draws_of(augmentation, count, height=8, width=8, seed=0):
    return draw(augmentation, count, height, width, np.random.default_rng(seed))


def run(images, augmentation, seed=0):
    draws = draws_of(augmentation, *images.shape[:3], seed)
    return augment(images, augmentation, draws, MEAN, STD)


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
    floats = rng.random((count, height, width, 3), np.float32), rng.random(3, np.float32)
    integers = pixels(count, height, width, 3, seed=seed), pixels(3, seed=seed)
    tops, lefts = rng.integers(0, 2 * padding + 1, (2, count))
    for images, fill in (floats, integers):
        found = shift(images, padding, tops, lefts, fill)
        assert found.dtype == images.dtype
        np.testing.assert_array_equal(found, slow_shift(images, padding, tops, lefts, fill))


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


@pytest.mark.parametrize(("colour", "fill"), [("mean", (100, 121, 140)), ("black", (0, 0, 0))])
def test_flip_crop_policy_normalising_and_erasing_follow_in_this_order(colour, fill):
    mean = (100.3, 120.6, 140.0)
    augmentation = Augmentation(
        crop_padding=2, flip=True, padding_colour=colour, policy="trivialaugment", erasing=0.5
    )
    images = pixels(60, 8, 8, 3)
    draws = draws_of(augmentation, 60)
    found = augment(images, augmentation, draws, mean, STD)
    assert len(set(draws.operations)) == len(NAMES)
    for i, image in enumerate(images):
        flipped = image[:, ::-1] if draws.flipped[i] else image
        padded = np.full((12, 12, 3), fill, np.uint8)
        padded[2:10, 2:10] = flipped
        top, left = draws.tops[i], draws.lefts[i]
        cropped = Image.fromarray(np.ascontiguousarray(padded[top : top + 8, left : left + 8]))
        name = NAMES[draws.operations[i]]
        changed = np.asarray(transform_one(cropped, name, draws.magnitudes[i], fill))
        expected = (changed.astype(np.float64) - mean) / STD
        top, left, height, width = draws.boxes[i]
        expected[top : top + height, left : left + width] = 0
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6, err_msg=name)


def test_policy_and_erasing_change_no_other_draw():
    plain, more = Augmentation(2, True, 15), Augmentation(2, True, 15, policy="trivialaugment")
    both = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)
    for fewer, further, shared in ((plain, more, 4), (more, both, 6)):
        for a, b in zip(draws_of(fewer, 40)[:shared], draws_of(further, 40), strict=False):
            np.testing.assert_array_equal(a, b)


def test_taken_draws_are_those_of_the_rows():
    augmentation = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)
    images, rows = pixels(40, 8, 8, 3), np.array([39, 3, 4, 20])
    draws = draws_of(augmentation, 40)
    np.testing.assert_array_equal(
        augment(images[rows], augmentation, draws.take(rows), MEAN, STD),
        augment(images, augmentation, draws, MEAN, STD)[rows],
    )


def test_a_policy_without_pillow_is_refused_when_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    Augmentation()
    with pytest.raises(ImportError, match=r'^TrivialAugment needs pillow.*-resnext\[scripts\]"$'):
        Augmentation(policy="trivialaugment")


def test_the_generator_decides_everything_and_the_input_is_left_alone():
    images = pixels(40, 8, 8, 3)
    before = images.copy()
    augmentation = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)
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
        ("policy", "randaugment"),
        ("erasing", -0.1),
        ("erasing", 1.5),
    ],
)
def test_fields_are_checked(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected .* got {value!r}$"):
        Augmentation(**{field: value})
