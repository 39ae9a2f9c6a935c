import numpy as np
import pytest
from PIL import Image

from keras_resnext.data.trivial import NAMES, RANGES, draw_operations, transform_one
from tests.data.conftest import ONCE

pytestmark = ONCE
FILL = (120, 7, 250)


def picture(height, width):
    """Neither flat nor pure noise, and darker than white: contrast has something to do."""
    ramp = np.linspace(0, 120, height * width * 3).reshape(height, width, 3)
    noise = np.random.default_rng(0).integers(20, 110, ramp.shape)
    return Image.fromarray((ramp + noise).astype(np.uint8))


def test_operations_and_their_31_magnitudes_of_either_sign_are_equally_likely():
    operations, magnitudes = draw_operations(60_000, np.random.default_rng(0))
    for i, (name, (first, last, signed)) in enumerate(RANGES.items()):
        drawn = magnitudes[operations == i]
        assert len(drawn) / 60_000 == pytest.approx(1 / 14, abs=0.006), name  # five deviations
        values, counts = np.unique(np.abs(drawn), return_counts=True)
        if first == last:
            assert values == [0]
            continue
        np.testing.assert_allclose(values, np.linspace(*sorted((first, last)), 31), atol=1e-9)
        np.testing.assert_allclose(counts / len(drawn), 1 / 31, atol=0.015)
        assert np.mean(drawn < 0) == pytest.approx(0.5 * 30 / 31 if signed else 0, abs=0.04)


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(12, 17), (32, 32)])
def test_torchvision_computes_the_same(torchvision, name, shape):
    image = picture(*shape)
    low, high = sorted(RANGES[name][:2])
    signed = RANGES[name][2]
    for magnitude in np.linspace(-high if signed else low, high, 61 if signed else 31):
        expected = torchvision.transforms.autoaugment._apply_op(
            image,
            name,
            round(magnitude) if name == "Posterize" else float(magnitude),
            torchvision.transforms.InterpolationMode.NEAREST,
            list(FILL),
        )
        found = transform_one(image, name, float(magnitude), FILL)
        np.testing.assert_array_equal(found, expected)
