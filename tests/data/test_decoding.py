import numpy as np
import pytest
from PIL import Image

from keras_resnext.data.decoding import LONGEST, decode, resize_and_crop
from keras_resnext.preprocessing import Preprocessing, fitted
from tests.photographs import FILES, photograph

# Of published weights: torchvision's two, timm's with crops of 0.875, 0.95 and all, and small ones.
PREPROCESSINGS = [
    Preprocessing(224, 256, "bilinear"),
    Preprocessing(224, 232, "bilinear"),
    Preprocessing(224, 235, "bicubic"),
    Preprocessing(288, 288, "bicubic"),
    Preprocessing(15, 17, "bilinear"),
    Preprocessing(16, 23, "bicubic"),
]
SIZES = [(60, 90), (91, 60), (61, 77), (32, 32), (9, 15), (40, 600), (603, 41), (1, 7), (1, 1)]


def noise(height, width):
    shape = (height, width, 3)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def prepared(image, preprocessing):
    return np.asarray(resize_and_crop(image, preprocessing))


def by_torchvision(torchvision, image, preprocessing):
    mode = torchvision.transforms.InterpolationMode(preprocessing.interpolation)
    resize = torchvision.transforms.Resize(preprocessing.resize_size, mode)
    crop = torchvision.transforms.CenterCrop(preprocessing.image_size)
    return np.asarray(crop(resize(image)))


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("name", FILES)
def test_photographs_become_what_torchvision_makes_of_them(torchvision, name, preprocessing):
    image = photograph(name)
    for turned in (image, image.transpose(Image.Transpose.ROTATE_90)):
        expected = by_torchvision(torchvision, turned, preprocessing)
        np.testing.assert_array_equal(prepared(turned, preprocessing), expected)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS[-2:])
@pytest.mark.parametrize("size", SIZES)
def test_any_size_becomes_what_torchvision_makes_of_it(torchvision, size, preprocessing):
    image = noise(*size)
    expected = by_torchvision(torchvision, image, preprocessing)
    np.testing.assert_array_equal(prepared(image, preprocessing), expected)


@pytest.mark.parametrize("version", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_the_transforms_that_torchvision_ships_with_its_weights(torchvision, version):
    transforms = torchvision.models.ResNeXt50_32X4D_Weights[version].transforms()
    preprocessing = Preprocessing(
        transforms.crop_size[0], transforms.resize_size[0], transforms.interpolation.value
    )
    image = photograph("grace_hopper")
    mean, std = (np.divide(x, 255)[:, None, None] for x in (preprocessing.mean, preprocessing.std))
    pixels = 255 * (transforms(image).numpy() * std + mean)
    expected = pixels.transpose(1, 2, 0)
    np.testing.assert_allclose(prepared(image, preprocessing), expected, atol=1e-3)


@pytest.mark.parametrize(("crop", "resize_size"), [(0.875, 256), (0.95, 235), (1.0, 224)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_transforms_that_timm_makes(timm_data, crop, resize_size, interpolation):
    transform = timm_data.create_transform(
        224, is_training=False, interpolation=interpolation, crop_pct=crop, normalize=False
    )
    image = photograph("grace_hopper")
    expected = transform(image).numpy().transpose(1, 2, 0)
    preprocessing = Preprocessing(224, resize_size, interpolation)
    np.testing.assert_array_equal(prepared(image, preprocessing), expected)


@pytest.mark.parametrize(
    ("size", "preprocessing", "scaled", "corner"),
    [
        ((60, 90), Preprocessing(20, 24, "bilinear"), (24, 36), (2, 8)),
        ((91, 60), Preprocessing(10, 11, "bicubic"), (16, 11), (3, 0)),  # halves go to the even
        ((32, 32), fitted(16), (16, 16), (0, 0)),
        ((9, 15), fitted(18), (18, 30), (0, 6)),
    ],
)
def test_a_file_is_scaled_then_cropped_at_its_centre(tmp_path, size, preprocessing, scaled, corner):
    image = noise(*size)
    image.save(tmp_path / "x.png")
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    whole = np.asarray(image.resize(scaled[::-1], resampling))
    (top, left), side = corner, preprocessing.image_size
    (found,), unreadable = decode([tmp_path / "x.png"], preprocessing)
    np.testing.assert_array_equal(found, whole[top : top + side, left : left + side])
    assert not unreadable


def test_of_a_long_strip_the_middle_is_scaled(tmp_path):
    """Scaled whole it would be of 30 billion pixels."""
    ramp = np.linspace(0, 255, 2 * LONGEST).astype(np.uint8)
    strip = np.zeros((60_000, 2, 3), np.uint8)
    strip[30_000 - LONGEST : 30_000 + LONGEST] = ramp[:, None, None]
    Image.fromarray(strip).save(tmp_path / "x.png")
    (found,), _ = decode([tmp_path / "x.png"], fitted(1000))
    assert found[0].max() < found[-1].min()
    assert found[500].mean() == pytest.approx(127.5, abs=2)
