"""Limits on encoded images, checked before anything is decoded; in TensorFlow.

A file of kilobytes can decode to gigabytes, and TensorFlow's decoders allocate first.
"""

import tensorflow as tf

MAX_PIXELS = 25_000_000
MAX_SCANS = 100
"""Of a JPEG, each of which goes over the whole image; encoders write about ten."""
MAX_COMPRESSED_TEXTS = 8
"""Chunks of a PNG that unpack to 8 MB each; programs write one or two."""
PIXELS_PER_BYTE = {"JPEG": 512, "PNG": 8_300, "WebP": 300_000}
"""More than which no valid file can hold: an 8x8 block of a JPEG takes a bit or more, deflate packs
by 1,032 at most, and a PNG has 8 pixels per byte or fewer."""


def check_header(contents: tf.Tensor) -> list[tf.Operation]:
    """Return assertions that an encoded image is of a known kind and within the limits.

    Args:
        contents: string scalar, the file.

    Raises:
        InvalidArgumentError: (when run) it is not.
    """
    length = tf.strings.length(contents)
    # What ends early is filled with zeros, and refused as too small.
    octets = tf.io.decode_raw(tf.strings.join([contents, b"\0" * 32]), tf.uint8)
    header = tf.cast(octets[:32], tf.int64)

    def begins(text: bytes, at: int = 0) -> tf.Tensor:
        return tf.reduce_all(header[at : at + len(text)] == list(text))

    def number(start: int, count: int, bits: int = 32) -> tf.Tensor:
        """Of `count` bytes, the lowest first."""
        octets = header[start : start + count]
        return tf.reduce_sum(octets * 256 ** tf.range(count, dtype=tf.int64)) % 2**bits

    def webp() -> tf.Tensor:
        """By its first chunk: lossy, lossless, or extended (24 bits, less one, as the frames')."""
        packed = number(21, 4)
        return tf.case(
            [
                (begins(b"VP8 ", 12), lambda: number(26, 2, 14) * number(28, 2, 14)),
                (
                    begins(b"VP8L", 12),
                    lambda: (packed % 2**14 + 1) * (packed // 2**14 % 2**14 + 1),
                ),
            ],
            default=lambda: (number(24, 3) + 1) * (number(27, 3) + 1),
        )

    def big_endian(start: int) -> tf.Tensor:
        return tf.reduce_sum(header[start : start + 4] * 256 ** tf.range(3, -1, -1, tf.int64))

    def jpeg() -> tf.Tensor:
        return tf.reduce_prod(tf.image.extract_jpeg_shape(contents, tf.int64)[:2])

    is_jpeg = begins(b"\xff\xd8\xff")
    is_png = begins(b"\x89PNG\r\n\x1a\n") & begins(b"IHDR", 12)
    is_webp = begins(b"RIFF") & begins(b"WEBPVP8", 8)
    known = is_jpeg | is_png | is_webp
    kinds = [
        (is_jpeg, jpeg),
        (is_png, lambda: big_endian(16) * big_endian(20)),
        (is_webp, webp),
    ]
    pixels = tf.case(kinds, default=lambda: tf.constant(0, tf.int64))
    per_byte = tf.cast([is_jpeg, is_png, is_webp], tf.int64) * list(PIXELS_PER_BYTE.values())
    most = tf.reduce_sum(per_byte) * tf.cast(length, tf.int64)
    scans = tf.where(is_jpeg, _count(octets, b"\xff\xda"), 0)
    texts = tf.add_n([_count(octets, chunk) for chunk in (b"zTXt", b"iTXt", b"iCCP")])
    texts = tf.where(is_png, texts, 0)
    expected = "image_bytes: expected"
    return [
        _assert(known, f"{expected} a JPEG, PNG or WebP file, got something else", length),
        _assert(
            pixels <= MAX_PIXELS, f"{expected} images of at most {MAX_PIXELS} pixels, got", pixels
        ),
        _assert(
            pixels <= most, f"{expected} a whole image, got bytes for fewer pixels than", pixels
        ),
        _assert(scans <= MAX_SCANS, f"{expected} a JPEG of at most {MAX_SCANS} scans, got", scans),
        _assert(
            texts <= MAX_COMPRESSED_TEXTS,
            f"{expected} a PNG of at most {MAX_COMPRESSED_TEXTS} compressed texts, got",
            texts,
        ),
    ]


def _assert(condition: tf.Tensor, message: str, value: tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(condition, [message, value])


def _count(octets: tf.Tensor, text: bytes) -> tf.Tensor:
    """How often a text stands in a file; by chance, one of four bytes once in gigabytes."""
    last = tf.size(octets) - len(text) + 1
    found = [octets[place : place + last] == byte for place, byte in enumerate(text)]
    return tf.math.count_nonzero(tf.reduce_all(found, axis=0), dtype=tf.int32)
