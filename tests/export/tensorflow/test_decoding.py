import io
from functools import cache, partial

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnext.data.decoding import resize_and_crop
from keras_resnext.export.tensorflow import decoding
from keras_resnext.export.tensorflow.decoding import fit
from keras_resnext.preprocessing import Preprocessing, fitted
from tests.export.tensorflow.encoded import KINDS, animation, encode, picture
from tests.photographs import FILES, photograph


@cache
def decoder(preprocessing):
    """A graph, as it is served."""
    return tf.function(
        partial(decoding.decode, preprocessing=preprocessing),
        input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")],
    )


def decode(contents, preprocessing):
    return decoder(preprocessing)(tf.constant(contents)).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_decodes_as_pillow_does(kind):
    """To a few levels: a lossy format leaves the decoder some freedom."""
    contents = encode(picture(24, 24), kind)
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    assert np.abs(decode([contents], fitted(24))[0] - expected).max() <= (
        6 if "WebP" in kind else 3
    )


def difference(image, preprocessing):
    """From what Pillow makes of it, in levels, the largest one."""
    expected = np.asarray(resize_and_crop(image, preprocessing), np.float32)
    return np.abs(fit(np.asarray(image), preprocessing).numpy() - expected).max()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("image_size", "resize_size"), [(24, 24), (24, 31)])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (25, 24), (24, 24), (100, 60), (1, 300), (9, 90)])
def test_fits_as_pillow_does(size, image_size, resize_size, interpolation):
    preprocessing = Preprocessing(image_size, resize_size, interpolation)
    assert difference(picture(*size), preprocessing) <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("image_size", "resize_size"), [(224, 256), (224, 232), (288, 288)])
@pytest.mark.parametrize("name", FILES)
def test_fits_photographs_as_pillow_does(name, image_size, resize_size, interpolation):
    image = photograph(name)
    preprocessing = Preprocessing(image_size, resize_size, interpolation)
    for turned in (image, image.transpose(Image.Transpose.ROTATE_90), image.resize((1201, 1500))):
        assert difference(turned, preprocessing) <= 1


@pytest.mark.parametrize("name", FILES)
def test_a_png_of_a_photograph_is_served_as_it_is_evaluated(name):
    image, preprocessing = photograph(name), Preprocessing()
    expected = np.asarray(resize_and_crop(image, preprocessing), np.float32)
    assert np.abs(decode([encode(image, "PNG")], preprocessing)[0] - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 5_000_000, 3), (5_000_000, 1, 3)])
def test_of_a_long_strip_only_the_middle_is_scaled(shape):
    """Scaled whole it would be of 300 billion pixels."""
    strip = np.zeros(shape, np.uint8)
    strip.reshape(-1, 3)[2_500_000:] = 200
    result = fit(strip, Preprocessing()).numpy()
    along = result[:, 0, 0] if shape[0] > 1 else result[0, :, 0]
    np.testing.assert_allclose(along, 100 + 200 * (np.arange(224) - 111.5) / 256, atol=0.6)


def test_a_batch_of_all_kinds_and_sizes_keeps_its_order():
    contents = [encode(picture(30, 10 + n, n), kind) for n, kind in enumerate(KINDS)]
    together = decode(contents, fitted(8))
    for one, alone in zip(together, contents, strict=True):
        np.testing.assert_array_equal(one, decode([alone], fitted(8))[0])


def test_the_first_frame_of_a_gif_counts():
    frames = [picture(16, 16, seed) for seed in range(3)]
    difference = decode([animation(frames, "GIF")], fitted(16))[0] - np.asarray(frames[0])
    assert np.abs(difference).mean() < 8


def test_an_animated_webp_is_refused():
    frames = [picture(16, 16, seed) for seed in range(3)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="WebP Animation"):
        decode([animation(frames, "WEBP")], fitted(16))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_every_kind_of_png_becomes_rgb(mode):
    image = picture(16, 16).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    np.testing.assert_allclose(
        decode([file.getvalue()], fitted(16))[0], image.convert("RGB"), atol=1
    )


def test_a_png_of_16_bits_keeps_the_high_ones():
    grey = np.asarray(picture(16, 16).convert("L"))
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(file, "PNG")
    np.testing.assert_array_equal(decode([file.getvalue()], fitted(16))[0, ..., 0], grey)


def bomb(kind):
    """A small file that says it is of a hundred megapixels or more."""
    contents = bytearray(encode(picture(16, 16), kind))
    high, low = (10_240).to_bytes(2, "big"), (10_240).to_bytes(2, "little")
    if "JPEG" in kind:
        frame = max(contents.find(b"\xff\xc0"), contents.find(b"\xff\xc2"))
        contents[frame + 5 : frame + 9] = high * 2
    elif kind == "PNG":
        contents[18:20] = contents[22:24] = high
    elif kind == "GIF":
        contents[6:10] = low * 2
    elif kind == "lossy WebP":
        contents[26:30] = low * 2
    elif kind == "lossless WebP":
        contents[21:25] = (10_239 + 10_239 * 2**14).to_bytes(4, "little")
    else:
        contents[24:30] = (10_239).to_bytes(3, "little") * 2
    return bytes(contents)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused_by_its_header(kind):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)at most 25000000.*104857600"):
        decode([encode(picture(8, 8), "PNG"), bomb(kind)], fitted(8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_refused(kind):
    contents = encode(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode([contents[: len(contents) // 2]], fitted(8))
