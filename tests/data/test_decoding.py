import os
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from keras_resnext.data import Augmentation, ImageFiles, decode_files, image_to_square
from keras_resnext.data.decoding import LONGEST
from keras_resnext.preprocessing import Preprocessing, whole_image
from tests.data.conftest import ONCE, plain
from tests.photographs import FILES, photograph

pytestmark = ONCE
SIZE = 8


def noise(height=SIZE, width=SIZE, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def decoded(image, path, **options):
    """Save the image and decode the file."""
    image.save(path, **options)
    (found,), unreadable = decode_files([path], whole_image(SIZE))
    assert not unreadable
    return found


# Resizing and cropping


def by_torchvision(torchvision, image, preprocessing):
    mode = torchvision.transforms.InterpolationMode(preprocessing.interpolation)
    resize = torchvision.transforms.Resize(preprocessing.resize_size, mode)
    crop = torchvision.transforms.CenterCrop(preprocessing.image_size)
    return np.asarray(crop(resize(image)))


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(224, 232, "bilinear"),
        Preprocessing(224, 235, "bicubic"),
        Preprocessing(288, 288, "bicubic"),
        Preprocessing(15, 17, "bilinear"),
        Preprocessing(16, 23, "bicubic"),
    ],
)
def test_images_become_what_torchvision_makes_of_them(torchvision, preprocessing):
    images = [photograph(name) for name in FILES]
    images += [image.transpose(Image.Transpose.ROTATE_90) for image in images]
    if preprocessing.image_size < 20:
        sizes = [(60, 90), (91, 60), (32, 32), (9, 15), (40, 600), (603, 41), (1, 7), (1, 1)]
        images += [Image.fromarray(noise(*size)) for size in sizes]
    for image in images:
        expected = by_torchvision(torchvision, image, preprocessing)
        np.testing.assert_array_equal(image_to_square(image, preprocessing), expected)


def test_of_a_long_strip_the_middle_is_resized():
    """Resized whole it would have 30 billion pixels."""
    ramp = np.linspace(0, 255, 2 * LONGEST).astype(np.uint8)
    strip = np.zeros((60_000, 2, 3), np.uint8)
    strip[30_000 - LONGEST : 30_000 + LONGEST] = ramp[:, None, None]
    found = np.asarray(image_to_square(Image.fromarray(strip), whole_image(1000)))
    assert found[0].max() < found[-1].min()
    assert found[500].mean() == pytest.approx(127.5, abs=2)


# Formats and modes


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tif", "webp", "gif", "jpg", "avif"])
def test_formats_are_read_whatever_the_name(tmp_path, suffix):
    image = Image.new("RGB", (SIZE, SIZE), (200, 30, 60))
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
    result = decoded(image, tmp_path / f"x.{suffix}", **options)
    np.testing.assert_allclose(
        result, np.asarray(image), atol=2 if suffix in ("jpg", "avif") else 0
    )
    (tmp_path / f"x.{suffix}").rename(tmp_path / "x")
    (again,), _ = decode_files([tmp_path / "x"], whole_image(SIZE))
    np.testing.assert_array_equal(again, result)


def test_gray_one_bit_and_16_bits_become_rgb(tmp_path):
    gray = noise(channels=1)
    wide = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE)).astype(np.uint16)
    for pixels, expected in ((gray, gray), (gray > 127, (gray > 127) * 255), (wide, wide // 256)):
        for suffix in ("png", "tif"):
            result = decoded(Image.fromarray(pixels), tmp_path / f"x.{suffix}")
            np.testing.assert_array_equal(result, np.stack([expected] * 3, axis=-1))


def test_cmyk_becomes_rgb(tmp_path):
    pixels = noise(channels=4)
    result = decoded(Image.fromarray(pixels, "CMYK"), tmp_path / "x.tif")
    ink = pixels / 255
    np.testing.assert_allclose(result, 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:]), atol=1)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_transparent_shows_white(tmp_path, channels):
    pixels = noise(channels=channels)
    result = decoded(Image.fromarray(pixels), tmp_path / "x.png")
    opacity = pixels[..., -1:] / 255
    expected = pixels[..., :-1] * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), atol=1)


def test_a_transparent_color_of_a_palette_shows_white(tmp_path):
    index = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE) % 4
    palette = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [9, 8, 7]], np.uint8)
    image = Image.fromarray(index).convert("L")
    image.putpalette(palette.tobytes())
    np.testing.assert_array_equal(decoded(image, tmp_path / "x.png"), palette[index])
    holed = decoded(image, tmp_path / "y.png", transparency=2)
    palette[2] = 255
    np.testing.assert_array_equal(holed, palette[index])


# Pillow itself turns TIFF images.
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_orientation_is_applied_once(tmp_path, suffix):
    pixels = noise(height=3 * SIZE, width=SIZE)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    options = {"lossless": True} if suffix == "webp" else {}
    result = decoded(Image.fromarray(pixels), tmp_path / f"x.{suffix}", exif=exif, **options)
    np.testing.assert_array_equal(result, np.rot90(pixels[SIZE : 2 * SIZE], -1))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0garbage", b"x"])
def test_corrupt_exif_keeps_no_image_back_and_warns_of_nothing(tmp_path, exif, suffix):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = decoded(plain(5), tmp_path / f"x.{suffix}", exif=exif, quality=95)
    np.testing.assert_allclose(found[0, 0], (0, 5, 7), atol=3)
    assert not caught


# What cannot be read


def test_what_cannot_be_read_leaves_no_gap_and_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    paths = [tmp_path / f"{number}" for number in range(9)]
    for number, path in enumerate(paths[:4]):
        plain(number).save(path, "PNG")
    paths[1].write_bytes(paths[1].read_bytes()[:45])
    paths[4].write_text("no image")
    Image.new("RGB", (15, 10)).save(paths[5], "PNG")  # of which Pillow would only warn
    Image.fromarray(np.zeros((SIZE, SIZE), np.float32)).save(paths[6], "TIFF")
    os.mkfifo(paths[7])
    images, unreadable = decode_files(paths, whole_image(SIZE))
    assert images[:, 0, 0, 1].tolist() == [0, 2, 3]
    reasons = {path.name: reason for path, reason in unreadable.items()}
    assert list(reasons) == ["1", "4", "5", "6", "7", "8"]
    for name, reason in {
        "4": "no JPEG, PNG, WebP, GIF, BMP, PPM, TIFF, AVIF or HEIC image",
        "5": "15x10 pixels, over",
        "6": "32-bit pixels",
        "7": "no regular file",
        "8": "no such file",
    }.items():
        assert reasons[name].startswith(reason)


@pytest.mark.parametrize(
    "use",
    [
        lambda: decode_files(["x.png"], whole_image(8)),
        lambda: ImageFiles(["x.png"], whole_image(8)),
        lambda: Augmentation(policy="trivialaugment"),
        lambda: Augmentation(rotation_degrees=15),
    ],
)
def test_without_pillow_the_error_says_what_to_install(monkeypatch, use):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    Augmentation(crop_padding=4, flip=True)  # which needs none
    with pytest.raises(ImportError, match=r'needs pillow. Type: pip install "keras-resnext\[trai'):
        use()
