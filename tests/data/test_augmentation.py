import math

import numpy as np
import pytest
from PIL import Image

from keras_resnext.data import Augmentation
from keras_resnext.data.augmentation import (
    augment,
    crop_and_resize,
    crop_box,
    draw,
    draw_blend,
    draw_boxes,
    mix,
    reduce_size,
)
from keras_resnext.data.trivial import NAMES, transform_one
from keras_resnext.preprocessing import Preprocessing, normalize
from tests.data.conftest import ONCE
from tests.photographs import photograph

pytestmark = ONCE
MEAN, STD = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)
BLACK = np.array([-2, -2, -2], np.float32)
EVERYTHING = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draws_of(augmentation, count, height=8, width=8, seed=0):
    return draw(augmentation, count, height, width, np.random.default_rng(seed))


def run(images, augmentation, seed=0):
    draws = draws_of(augmentation, *images.shape[:3], seed)
    return augment(images, augmentation, draws, MEAN, STD)


# Each operation


def test_every_shift_and_both_sides_occur_and_nothing_else():
    image = pixels(1, 6, 6, 3)
    result = run(np.repeat(image, 400, axis=0), Augmentation(crop_padding=1, flip=True))
    padded = np.zeros((8, 8, 3), np.float32)
    candidates = set()
    for side in (1, -1):
        padded[1:7, 1:7] = normalize(image, MEAN, STD)[0, :, ::side]
        candidates |= {padded[y : y + 6, x : x + 6].tobytes() for y in range(3) for x in range(3)}
    assert len(candidates) == 18
    assert {sample.tobytes() for sample in result} == candidates


@pytest.mark.parametrize(("color", "value"), [("mean", 0 * BLACK), ("black", BLACK)])
def test_the_padding_has_the_color_asked_for(color, value):
    white = np.full((64, 4, 4, 3), 255, np.uint8)
    augmentation = Augmentation(crop_padding=4, padding_color=color)
    found = np.unique(run(white, augmentation).reshape(-1, 3), axis=0)
    expected = np.stack([value, normalize(white[:1, :1, :1], MEAN, STD)[0, 0, 0]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rotation_is_torchvisions_and_angles_fill_the_range(torchvision):
    augmentation = Augmentation(rotation_degrees=15, padding_color="black")
    images = pixels(300, 33, 32, 3)
    found = run(images, augmentation)
    degrees = draws_of(augmentation, 300, 33, 32).degrees
    assert -15 <= degrees.min() < -14 < 14 < degrees.max() <= 15
    for i in range(20):
        expected = torchvision.transforms.functional.rotate(
            Image.fromarray(images[i]), float(degrees[i])
        )
        np.testing.assert_array_equal(found[i], normalize(np.asarray(expected), MEAN, STD))


@pytest.mark.parametrize(("color", "fill"), [("mean", (100, 121, 140)), ("black", (0, 0, 0))])
@pytest.mark.parametrize("degrees", [0, 15])
def test_flip_crop_policy_rotation_normalization_and_erasing_come_in_this_order(
    color, fill, degrees
):
    mean = (100.3, 120.6, 140.0)
    augmentation = Augmentation(2, True, degrees, color, "trivialaugment", 0.5)
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
        changed = transform_one(cropped, name, draws.magnitudes[i], fill)
        changed = np.asarray(changed.rotate(draws.degrees[i], fillcolor=fill))
        expected = (changed.astype(np.float64) - mean) / STD
        top, left, height, width = draws.boxes[i]
        expected[top : top + height, left : left + width] = 0
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6, err_msg=name)


def test_draws_decide_everything_and_the_input_is_left_alone():
    images, rows = pixels(40, 8, 8, 3), np.array([39, 3, 4, 20])
    before = images.copy()
    draws = draws_of(EVERYTHING, 40)
    found = augment(images, EVERYTHING, draws, MEAN, STD)
    assert not np.array_equal(found, run(images, EVERYTHING, seed=1))
    some = augment(images[rows], EVERYTHING, draws.take(rows), MEAN, STD)
    np.testing.assert_array_equal(some, found[rows])
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_padding", -1),
        ("rotation_degrees", 181),
        ("padding_color", "gray"),
        ("erasing", 1.5),
        ("mixup", -0.1),
        ("cutmix", math.nan),
        ("crop_scale", (0.5, 1.5)),
        ("crop_ratio", (2.0, 1.0)),
        ("small_sizes", (24, 16)),
        ("small_until", (3,)),
    ],
)
def test_fields_are_checked(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected .* got ") as error:
        Augmentation(**{field: value})
    assert str(error.value).endswith(f"got {value!r}")


# Random crops of the original image


class Given:
    """Draws given numbers for torchvision, which draws areas and ratios in turns."""

    def __init__(self, uniforms):
        areas, ratios, (self.down, self.right) = np.split(uniforms, (10, 20))
        self.pairs = iter(np.stack([areas, ratios], axis=1).ravel().tolist())
        self.places = iter((self.down, self.right))
        self.tensor, self.log, self.exp = np.array, np.log, np.exp

    def empty(self, _):
        return self

    def uniform_(self, low, high):
        return low + (high - low) * np.float64(next(self.pairs))

    def randint(self, low, high, size):
        return np.int64(low + (high - low) * next(self.places))


@pytest.mark.parametrize("limits", [((0.08, 1), (3 / 4, 4 / 3)), ((0.9, 1), (0.5, 0.6))])
def test_crops_are_torchvisions(torchvision, monkeypatch, limits):
    transforms, rng = torchvision.transforms, np.random.default_rng(0)
    augmentation = Augmentation(crop_scale=limits[0], crop_ratio=limits[1])
    sizes = [(500, 375), (32, 32), (30, 400), (400, 30), (1, 1), *rng.integers(1, 99, (200, 2))]
    for width, height in sizes:
        uniforms = rng.random(22)
        monkeypatch.setattr(transforms.transforms, "torch", Given(uniforms))
        image = Image.new("L", (int(width), int(height)))
        top, left, h, w = transforms.RandomResizedCrop.get_params(image, *map(list, limits))
        found = crop_box(int(width), int(height), uniforms, augmentation)
        assert found == (left, top, left + w, top + h)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_cropped_and_resized_images_are_torchvisions(torchvision, interpolation):
    augmentation, rng = Augmentation(crop_scale=(0.08, 1.0)), np.random.default_rng(1)
    mode = torchvision.transforms.InterpolationMode(interpolation)
    for image in (photograph("china"), Image.fromarray(pixels(32, 32, 3))):
        for uniforms in rng.random((5, 22)):
            left, top, right, bottom = crop_box(*image.size, uniforms, augmentation)
            expected = torchvision.transforms.functional.resized_crop(
                image, top, left, bottom - top, right - left, [64, 64], mode
            )
            resized = Preprocessing(64, 73, interpolation)
            found = crop_and_resize(image, augmentation, uniforms, resized)
            np.testing.assert_array_equal(found, expected)


# Erasing


# In the flat images most rectangles are too high: they are drawn again, some ten times in vain.
@pytest.mark.parametrize(("height", "width"), [(32, 32), (4, 48), (1, 1)])
def test_boxes_are_distributed_as_torchvisions(torchvision, height, width):
    import torch

    torch.manual_seed(1)
    image, erasing = torch.zeros(3, height, width), torchvision.transforms.RandomErasing()
    draws = (erasing.get_params(image, erasing.scale, erasing.ratio, [0.0]) for _ in range(4000))
    theirs = np.array([box for *box, _ in draws])
    theirs[theirs[:, 2] == height] = 0  # the whole image stands for none
    ours = draw_boxes(4000, height, width, 1.0, np.random.default_rng(2))
    assert (ours >= 0).all()
    assert (ours[:, 0] + ours[:, 2]).max() <= height
    assert (ours[:, 1] + ours[:, 3]).max() <= width
    for summary in (np.mean, np.std):
        scale = np.array([height, width, height, width])
        np.testing.assert_allclose(summary(ours, 0) / scale, summary(theirs, 0) / scale, atol=0.03)
    areas = [(boxes[:, 2] * boxes[:, 3]).mean() / (height * width) for boxes in (ours, theirs)]
    assert areas[0] == pytest.approx(areas[1], abs=0.01)


def test_as_many_are_erased_as_asked_for():
    boxes = (draw_boxes(5000, 32, 32, p, np.random.default_rng(0)) for p in (0.0, 0.25, 1.0))
    assert [np.mean(each[:, 2] > 0) for each in boxes] == [0, pytest.approx(0.25, abs=0.03), 1]


# Mixing

HEIGHT, WIDTH = 6, 8


def blends(count=3000, height=HEIGHT, width=WIDTH, **alphas):
    rng = np.random.default_rng(1)
    return [draw_blend(Augmentation(**alphas), height, width, rng) for _ in range(count)]


@pytest.mark.parametrize(
    "blend",
    [(0.3, None), (1 - 6 / 48, (slice(1, 3), slice(4, 7))), (1.0, (slice(2, 2),) * 2)],
)
def test_each_sample_is_mixed_with_the_one_before_it(blend):
    rng = np.random.default_rng(0)
    images = rng.random((5, HEIGHT, WIDTH, 3), np.float32)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 5)]
    before = images.copy()
    found = mix(images, labels, *blend)
    weight, box = blend
    assert found[0].dtype == found[1].dtype == np.float32
    own = np.full((HEIGHT, WIDTH, 1), weight)
    if box is not None:
        own[:] = 1
        own[box] = 0
    expected = own * images[1:] + (1 - own) * images[:-1]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    expected = weight * labels[1:] + (1 - weight) * labels[:-1]
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_cutmix_is_torchvisions_and_weights_by_the_true_area(torchvision, alpha):
    import torch
    from torchvision.transforms import v2

    torch.manual_seed(2)
    cutmix, images = v2.CutMix(alpha=alpha, num_classes=2), torch.zeros(1, 3, 24, 32)
    theirs = np.array([cutmix.make_params([images])["box"] for _ in range(3000)])
    drawn = blends(3000, 24, 32, cutmix=alpha)
    ours = np.array([(c.start, r.start, c.stop, r.stop) for _, (r, c) in drawn])
    for summary in (np.mean, np.std):
        np.testing.assert_allclose(summary(ours, 0), summary(theirs, 0), atol=1.0)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / 768 for boxes in (ours, theirs)]
    assert areas[0].mean() == pytest.approx(areas[1].mean(), abs=0.025)
    np.testing.assert_allclose([weight for weight, _ in drawn], 1 - areas[0])


def test_with_both_each_comes_half_the_time_and_without_none():
    drawn = blends(mixup=0.2, cutmix=1.0)
    weights = np.array([weight for weight, box in drawn if box is None])
    assert len(weights) / len(drawn) == pytest.approx(0.5, abs=0.06)
    assert weights.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.15)  # of Beta(0.2, 0.2)
    assert blends(1) == [(1.0, None)]
    assert not Augmentation().mixes


# Small sizes


def test_each_new_pixel_is_the_mean_of_what_it_covers():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    expected = images.reshape(2, 2, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(reduce_size(images, 2), expected, rtol=1e-6)
    # 4 pixels to 3: the first covers one pixel and a third of the next.
    row = reduce_size(np.tile(np.float32([0, 3, 6, 9]).reshape(1, 1, 4, 1), (1, 4, 1, 1)), 3)
    np.testing.assert_allclose(row[0, 0, :, 0], [0.75, 4.5, 8.25], rtol=1e-6)
    with pytest.raises(ValueError, match="small_sizes: expected at most the images' 4 pixels"):
        reduce_size(images, 8)
