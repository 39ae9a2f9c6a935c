import sys

import numpy as np
import pytest
from PIL import Image

from keras_resnext.data.trivial import (
    NAMES,
    RANGES,
    draw_operations,
    require_pillow,
    transform,
    transform_one,
)

FILL = (120, 7, 250)

# The paper's table of the "wide" space, as torchvision reads it: lowest, highest, and whether
# half of the magnitudes are negative.
PAPER = {
    "Identity": (0, 0, False),
    "ShearX": (0, 0.99, True),
    "ShearY": (0, 0.99, True),
    "TranslateX": (0, 32, True),
    "TranslateY": (0, 32, True),
    "Rotate": (0, 135, True),
    "Brightness": (0, 0.99, True),
    "Color": (0, 0.99, True),
    "Contrast": (0, 0.99, True),
    "Sharpness": (0, 0.99, True),
    "Posterize": (2, 8, False),
    "Solarize": (0, 255, False),
    "AutoContrast": (0, 0, False),
    "Equalize": (0, 0, False),
}


def picture(height=12, width=17, seed=0):
    """Neither flat nor pure noise, and darker than white: contrast has something to do."""
    ramp = np.linspace(0, 120, height * width * 3).reshape(height, width, 3)
    noise = np.random.default_rng(seed).integers(20, 110, ramp.shape)
    return (ramp + noise).astype(np.uint8)


def apply(image, name, magnitude):
    return np.asarray(transform_one(Image.fromarray(image), name, magnitude, FILL))


@pytest.fixture(scope="module")
def drawn():
    operations, magnitudes = draw_operations(60_000, np.random.default_rng(0))
    return {name: magnitudes[operations == i] for i, name in enumerate(NAMES)}


def test_every_operation_is_equally_likely(drawn):
    assert drawn.keys() == PAPER.keys()
    shares = [len(magnitudes) / 60_000 for magnitudes in drawn.values()]
    np.testing.assert_allclose(shares, 1 / 14, atol=0.006)  # five standard deviations


@pytest.mark.parametrize("name", NAMES)
def test_magnitudes_are_31_even_steps_equally_likely_on_both_sides(drawn, name):
    low, high, signed = PAPER[name]
    values, counts = np.unique(np.abs(drawn[name]), return_counts=True)
    if low == high:
        assert values == [0]
        return
    np.testing.assert_allclose(values, np.linspace(low, high, 31), atol=1e-9)
    np.testing.assert_allclose(counts / len(drawn[name]), 1 / 31, atol=0.015)
    negative = np.mean(drawn[name] < 0)
    assert negative == pytest.approx(0.5 * 30 / 31 if signed else 0, abs=0.04)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(12, 17), (32, 32)])
def test_torchvision_computes_the_same(torchvision, name, shape):
    image = picture(*shape)
    low, high, signed = PAPER[name]
    for magnitude in np.linspace(-high if signed else low, high, 61 if signed else 31):
        expected = torchvision.transforms.autoaugment._apply_op(
            Image.fromarray(image),
            name,
            round(magnitude) if name == "Posterize" else float(magnitude),
            torchvision.transforms.InterpolationMode.NEAREST,
            list(FILL),
        )
        np.testing.assert_array_equal(apply(image, name, float(magnitude)), np.asarray(expected))


def test_torchvision_has_the_same_space(torchvision):
    space = torchvision.transforms.TrivialAugmentWide()._augmentation_space(31)
    assert tuple(space) == NAMES
    for name, (magnitudes, signed) in space.items():
        first, last, ours_signed = RANGES[name]
        assert signed == ours_signed
        ours = np.linspace(first, last, 31)
        if name == "Posterize":
            ours = ours.round()
        np.testing.assert_allclose(np.broadcast_to(magnitudes.numpy(), 31), ours, atol=1e-5)


def slow_move(image, source):
    """Read every pixel from where the function `source` of its x and y says."""
    height, width, _ = image.shape
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            from_x, from_y = (int(np.floor(c)) for c in source(x + 0.5, y + 0.5))
            inside = 0 <= from_x < width and 0 <= from_y < height
            result[y, x] = image[from_y, from_x] if inside else FILL
    return result


@pytest.mark.parametrize("magnitude", [-0.51, 0.33])
def test_shears_slant(magnitude):
    image = picture()
    np.testing.assert_array_equal(
        apply(image, "ShearX", magnitude), slow_move(image, lambda x, y: (x + magnitude * y, y))
    )
    np.testing.assert_array_equal(
        apply(image, "ShearY", magnitude), slow_move(image, lambda x, y: (x, y + magnitude * x))
    )


@pytest.mark.parametrize(("magnitude", "pixels"), [(3.7, 3), (-3.7, -3), (16.0, 16)])
def test_translations_move_right_and_down_by_whole_pixels(magnitude, pixels):
    image = picture()
    np.testing.assert_array_equal(
        apply(image, "TranslateX", magnitude), slow_move(image, lambda x, y: (x - pixels, y))
    )
    np.testing.assert_array_equal(
        apply(image, "TranslateY", magnitude), slow_move(image, lambda x, y: (x, y - pixels))
    )


def test_rotation_turns_counter_clockwise():
    image = picture(13, 13)
    np.testing.assert_array_equal(apply(image, "Rotate", 90.0), np.rot90(image))
    assert tuple(apply(image, "Rotate", 45.0)[0, 0]) == FILL


def test_looks_follow_their_formulas():
    image = picture()
    wide = image.astype(int)
    for name, magnitude, expected in (
        ("Brightness", -0.5, wide / 2),
        ("Posterize", 2.8, wide & 0b11100000),
        ("Solarize", 93.5, np.where(wide > 93, 255 - wide, wide)),
    ):
        found = apply(image, name, magnitude)
        np.testing.assert_allclose(found, np.floor(expected), atol=0, err_msg=name)
    grey = wide @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(
        apply(image, "Color", -0.5), (wide + grey[..., None]) / 2, rtol=0, atol=1
    )
    np.testing.assert_allclose(
        apply(image, "Contrast", -0.5), (wide + grey.mean()) / 2, rtol=0, atol=1
    )
    stretched = apply(image, "AutoContrast", 0.0)
    assert (stretched.min(axis=(0, 1)) == 0).all()
    assert (stretched.max(axis=(0, 1)) == 255).all()


def test_each_image_of_a_batch_gets_its_own():
    images = np.stack([picture(seed=i) for i in range(3)])
    before = images.copy()
    operations = np.array([NAMES.index(name) for name in ("Identity", "Rotate", "Solarize")])
    found = transform(images, operations, np.array([0, 90.0, 100.0]), np.array(FILL, np.uint8))
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_array_equal(found[1], apply(images[1], "Rotate", 90.0))
    np.testing.assert_array_equal(found[2], apply(images[2], "Solarize", 100.0))
    np.testing.assert_array_equal(images, before)


def test_the_generator_decides_everything():
    first, again, other = (draw_operations(50, np.random.default_rng(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_pillow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"TrivialAugment needs pillow\. Type: pip install"):
        require_pillow()
