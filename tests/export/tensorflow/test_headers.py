from contextlib import suppress

import numpy as np
import pytest
import tensorflow as tf

from keras_resnext.export.tensorflow import headers
from tests.export.tensorflow.encoded import KINDS, animation, encode, picture

# A graph, as it is served.
count_pixels = tf.function(
    headers.count_pixels, input_signature=[tf.TensorSpec((), tf.string, "contents")]
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (300, 7), (258, 513)])
def test_counts_pixels(kind, height, width):
    assert count_pixels(encode(picture(height, width), kind)) == height * width


def test_counts_the_canvas_of_an_animated_webp():
    frames = [picture(20, 30, seed) for seed in range(3)]
    assert count_pixels(animation(frames, "WEBP")) == 600


def test_counts_every_frame_of_a_gif():
    frames = [picture(20, 30, seed) for seed in range(3)]
    assert count_pixels(animation(frames, "GIF")) == 1800


def u16(number):
    return number.to_bytes(2, "little")


def gif(*frames, canvas=(1, 1), extension=b""):
    """A GIF of frames with nothing in them, each with colours of its own."""
    image = b"".join(
        b"\x2c\0\0\0\0" + u16(w) + u16(h) + b"\x80" + bytes(6) + b"\x02\0" for h, w in frames
    )
    return b"GIF89a" + u16(canvas[1]) + u16(canvas[0]) + b"\0\0\0" + extension + image + b"\x3b"


def test_a_frame_larger_than_the_canvas_counts():
    assert count_pixels(gif((2, 3), (500, 400))) == 200_006


def test_sides_of_different_frames_span_the_canvas():
    assert count_pixels(gif((1, 60_000), (60_000, 1))) == 60_000**2


def test_a_declared_canvas_counts():
    assert count_pixels(gif((1, 1), canvas=(3, 5))) == 15


def test_extensions_are_skipped():
    comment = b"\x21\xfe" + b"\x05\x2c\x2c\x2c\x2c\x2c" * 3 + b"\0"
    assert count_pixels(gif((4, 5), extension=comment)) == 20


def test_a_gif_of_endless_blocks_is_refused():
    blocks = b"\x21\xfe" + b"\x01a" * headers.MAX_GIF_BLOCKS + b"\0"
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 10000 blocks"):
        count_pixels(gif((1, 1), extension=blocks))


@pytest.mark.parametrize("contents", [b"", b"GI", b"text", b"BM" + bytes(60), b"RIFF1234WEBPVP9 "])
def test_other_files_are_refused(contents):
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected a JPEG, PNG, GIF or WebP"):
        count_pixels(contents)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_ends_early_counts_or_is_refused(kind):
    """What is missing never makes it something else than an error or a number."""
    whole = encode(picture(9, 8), kind)
    for length in np.unique(np.linspace(0, min(len(whole), 60), 16).astype(int)):
        with suppress(tf.errors.InvalidArgumentError):
            assert count_pixels(whole[:length]) >= 0
