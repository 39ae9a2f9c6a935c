import io
from functools import cache, partial

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from keras_resnext import backend  # noqa: E402
from keras_resnext.data import image_to_square  # noqa: E402
from keras_resnext.export import decoding  # noqa: E402
from keras_resnext.preprocessing import Preprocessing, whole_image  # noqa: E402
from tests.export.encoded import (  # noqa: E402
    KINDS,
    claims,
    encode,
    picture,
    with_compressed_texts,
    with_scans,
)
from tests.photographs import FILES, photograph  # noqa: E402

pytestmark = pytest.mark.skipif(
    backend.NAME != "tensorflow", reason="the graph is TensorFlow's, whatever backend trained"
)


@cache
def decoder(preprocessing):
    """A graph, as it is served."""
    return tf.function(
        partial(decoding.decode, preprocessing=preprocessing),
        input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")],
    )


def decode(contents, preprocessing=whole_image(16)):  # noqa: B008 - frozen
    return decoder(preprocessing)(tf.constant(contents)).numpy()


def test_a_batch_of_all_kinds_decodes_as_pillow_does():
    """To a few levels: a lossy format leaves the decoder some freedom."""
    contents = [encode(picture(16, 16, seed), kind) for seed, kind in enumerate(KINDS)]
    for found, file, kind in zip(decode(contents), contents, KINDS, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.float32)
        assert np.abs(found - expected).max() <= (6 if "WebP" in kind else 3), kind


def difference(image, preprocessing):
    """From what Pillow makes of it, in levels, the largest one."""
    expected = np.asarray(image_to_square(image, preprocessing), np.float32)
    return np.abs(decoding.fit(np.asarray(image), preprocessing).numpy() - expected).max()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("image_size", "resize_size"), [(24, 24), (24, 31)])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (25, 24), (24, 24), (100, 60), (1, 300), (9, 90)])
def test_fits_as_pillow_does(size, image_size, resize_size, interpolation):
    preprocessing = Preprocessing(image_size, resize_size, interpolation)
    assert difference(picture(*size), preprocessing) <= 1


@pytest.mark.parametrize("preprocessing", [Preprocessing(), Preprocessing(288, 288, "bicubic")])
@pytest.mark.parametrize("name", FILES)
def test_fits_photographs_as_pillow_does(name, preprocessing):
    image = photograph(name)
    for turned in (image, image.transpose(Image.Transpose.ROTATE_90)):
        assert difference(turned, preprocessing) <= 1


@pytest.mark.parametrize("shape", [(1, 5_000_000, 3), (5_000_000, 1, 3)])
def test_of_a_long_strip_only_the_middle_is_scaled(shape):
    """Scaled whole it would be of 300 billion pixels."""
    strip = np.zeros(shape, np.uint8)
    strip.reshape(-1, 3)[2_500_000:] = 200
    result = decoding.fit(strip, Preprocessing()).numpy()
    along = result[:, 0, 0] if shape[0] > 1 else result[0, :, 0]
    np.testing.assert_allclose(along, 100 + 200 * (np.arange(224) - 111.5) / 256, atol=0.6)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_every_kind_of_png_becomes_rgb(mode):
    image = picture(16, 16).convert(mode)
    np.testing.assert_allclose(decode([encode(image)])[0], image.convert("RGB"), atol=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda kind: claims(kind, 10_240), r"(?s)at most 25000000 pixels.*104857600"),
        (lambda kind: encode(Image.effect_noise((64, 64), 90).convert("RGB"), kind)[:-900], None),
        (lambda kind: encode(picture(16, 16), kind)[:30], None),
    ],
    ids=["bomb", "truncated", "header"],
)
def test_bombs_and_damage_are_refused(kind, make, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode([encode(picture(8, 8)), make(kind)])


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (claims("JPEG", 5_000), "a whole image, got bytes for fewer pixels than"),
        (claims("PNG", 4_990), "a whole image, got bytes for fewer pixels than"),
        (with_compressed_texts(300), "at most 8 compressed texts"),
        (with_scans(5_000), "at most 100 scans"),
        (b"", "expected a JPEG, PNG or WebP file"),
        (b"GIF89a" + bytes(60), "expected a JPEG, PNG or WebP file"),
        (b"RIFF1234WEBPVP9 ", None),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_costs_more_than_it_says_is_refused(contents, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode([contents])


def test_honest_files_near_the_limits_are_decoded():
    solid = Image.new("RGB", (4_096, 4_096), (90, 120, 150))
    files = [encode(solid, "progressive JPEG"), encode(solid, "lossless WebP")]
    assert np.abs(decode(files) - (90, 120, 150)).max() <= 3
    assert not decode([encode(Image.new("1", (5_000, 5_000)))]).any()
    texts = decode([with_compressed_texts(2)])[0]
    np.testing.assert_array_equal(texts, picture(16, 16))
