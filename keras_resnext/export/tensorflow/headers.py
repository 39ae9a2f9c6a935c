"""How large an encoded image says it is, read before anything is decoded.

A file of kilobytes can decode to gigabytes, and TensorFlow's decoders allocate first.
"""

import tensorflow as tf

MAX_GIF_BLOCKS = 10_000
HEADER = 32  # bytes, enough for every format but GIF


def count_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Pixels that decoding would allocate, as the file declares them.

    Args:
        contents: string scalar, an encoded image.

    Returns:
        int64 scalar.

    Raises:
        InvalidArgumentError: (when run) it is not a JPEG, PNG, GIF or WebP file.
    """
    start = tf.strings.join([tf.strings.substr(contents, 0, HEADER), "\0" * HEADER])
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(start, 0, HEADER), tf.uint8), tf.int64)

    def begins(text: bytes, at: int = 0) -> tf.Tensor:
        return tf.reduce_all(header[at : at + len(text)] == list(text))

    return tf.case(
        [
            (begins(b"\xff\xd8\xff"), lambda: _jpeg(contents)),
            (begins(b"\x89PNG\r\n\x1a\n") & begins(b"IHDR", 12), lambda: _png(header)),
            (begins(b"GIF8"), lambda: _gif(contents)),
            (begins(b"RIFF") & begins(b"WEBPVP8 ", 8), lambda: _webp_lossy(header)),
            (begins(b"RIFF") & begins(b"WEBPVP8L", 8), lambda: _webp_lossless(header)),
            (begins(b"RIFF") & begins(b"WEBPVP8X", 8), lambda: _webp_extended(header)),
        ],
        default=_unknown,
    )


def _unknown():
    message = "image_bytes: expected a JPEG, PNG, GIF or WebP file, got something else"
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.constant(0, tf.int64)


def _jpeg(contents):
    return tf.reduce_prod(tf.image.extract_jpeg_shape(contents, tf.int64)[:2])


def _png(header):
    return _number(header[16:20], big_endian=True) * _number(header[20:24], big_endian=True)


def _webp_lossy(header):
    """14 bits each, in two bytes each."""
    return (_number(header[26:28]) % 2**14) * (_number(header[28:30]) % 2**14)


def _webp_lossless(header):
    """14 bits each, less one, side by side in four bytes."""
    bits = _number(header[21:25])
    return (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1)


def _webp_extended(header):
    """24 bits each, less one; frames of an animation lie within."""
    return (_number(header[24:27]) + 1) * (_number(header[27:30]) + 1)


def _number(octets, big_endian: bool = False):
    octets = octets if big_endian else octets[::-1]
    return tf.reduce_sum(octets * 256 ** tf.range(len(octets) - 1, -1, -1, tf.int64))


def _gif(contents):
    """All frames, since all are decoded, and the canvas that the largest sides span.

    The file is a chain of blocks: extensions and frames, each with sub-blocks of up to 255 bytes.
    """
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int64)
    length = tf.size(octets, tf.int64)
    octets = tf.pad(octets, [[0, 16]])  # a truncated block ends in zeros

    def colours(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def follow(position, within, frames, canvas):
        code = octets[position]
        sides = tf.stack(
            [
                _number(octets[position + 5 : position + 7]),
                _number(octets[position + 7 : position + 9]),
            ]
        )
        is_frame, is_extension = ~within & (code == 0x2C), ~within & (code == 0x21)
        step = tf.case(
            [
                (within, lambda: code + 1),
                (is_frame, lambda: 11 + colours(octets[position + 9])),
                (is_extension, lambda: tf.constant(2, tf.int64)),
            ],
            default=lambda: length,
        )
        return (
            tf.minimum(position + step, length),
            tf.where(within, code > 0, is_frame | is_extension),
            frames + tf.where(is_frame, tf.reduce_prod(sides), 0),
            tf.where(is_frame, tf.maximum(canvas, sides), canvas),
        )

    position, _, frames, canvas = tf.while_loop(
        lambda position, *_: position < length,
        follow,
        (
            tf.minimum(13 + colours(octets[10]), length),
            False,
            tf.constant(0, tf.int64),
            tf.stack([_number(octets[6:8]), _number(octets[8:10])]),
        ),
        maximum_iterations=MAX_GIF_BLOCKS,
    )
    message = f"image_bytes: expected a GIF of at most {MAX_GIF_BLOCKS} blocks, got a longer one"
    with tf.control_dependencies([tf.debugging.Assert(position == length, [message])]):
        return tf.maximum(frames, tf.reduce_prod(canvas))
