"""Limits on encoded images, checked before anything is decoded; in TensorFlow.

A file of kilobytes can decode to gigabytes, and TensorFlow's decoders allocate first.
"""

import tensorflow as tf

MAX_PIXELS = 25_000_000
MAX_SCANS = 100
"""Of a JPEG, each of which goes over the whole image; encoders write about ten."""
MAX_COMPRESSED_TEXTS = 8
"""Chunks of a PNG that unpack to 8 MB each; programs write one or two."""
PIXELS_PER_BYTE = (512, 8_300, 300_000)
"""Of JPEG, PNG and WebP, more than which no valid file can hold: an 8x8 block of a JPEG takes a bit
or more, deflate packs by 1,032 at most, and a PNG has 8 pixels per byte or fewer."""


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

    def number(start: int, stop: int, step: int = 1) -> tf.Tensor:
        """Of the bytes from `start` to `stop`, the lowest first."""
        digits = header[start:stop:step]
        return tf.reduce_sum(digits * 256 ** tf.range(tf.size(digits, tf.int64)))

    def jpeg() -> tf.Tensor:
        return tf.reduce_prod(tf.image.extract_jpeg_shape(contents, tf.int64)[:2])

    def png() -> tf.Tensor:
        return number(19, 15, -1) * number(23, 19, -1)

    def webp() -> tf.Tensor:
        """By its first chunk: lossy, lossless, or extended (24 bits, less one, as the frames')."""
        packed, bits = number(21, 25), 2**14
        lossy = begins(b"VP8 ", 12), lambda: number(26, 28) % bits * (number(28, 30) % bits)
        lossless = begins(b"VP8L", 12), lambda: (packed % bits + 1) * (packed // bits % bits + 1)
        extended = lambda: (number(24, 27) + 1) * (number(27, 30) + 1)  # noqa: E731
        return tf.case([lossy, lossless], default=extended)

    is_jpeg = begins(b"\xff\xd8\xff")
    is_png = begins(b"\x89PNG\r\n\x1a\n") & begins(b"IHDR", 12)
    is_webp = begins(b"RIFF") & begins(b"WEBPVP8", 8)
    kinds = [(is_jpeg, jpeg), (is_png, png), (is_webp, webp)]
    pixels = tf.case(kinds, default=lambda: tf.constant(0, tf.int64))
    per_byte = tf.reduce_sum(tf.cast([is_jpeg, is_png, is_webp], tf.int64) * PIXELS_PER_BYTE)
    most = per_byte * tf.cast(length, tf.int64)
    scans = tf.where(is_jpeg, _count(octets, b"\xff\xda"), 0)
    texts = tf.add_n([_count(octets, chunk) for chunk in (b"zTXt", b"iTXt", b"iCCP")])
    texts = tf.where(is_png, texts, 0)
    limits = [
        (is_jpeg | is_png | is_webp, "a JPEG, PNG or WebP file, got something else", length),
        (pixels <= MAX_PIXELS, f"images of at most {MAX_PIXELS} pixels, got", pixels),
        (pixels <= most, "a whole image, got bytes for fewer pixels than", pixels),
        (scans <= MAX_SCANS, f"a JPEG of at most {MAX_SCANS} scans, got", scans),
        (
            texts <= MAX_COMPRESSED_TEXTS,
            f"a PNG of at most {MAX_COMPRESSED_TEXTS} compressed texts, got",
            texts,
        ),
    ]
    return [
        tf.debugging.Assert(fits, [f"image_bytes: expected {what}", value])
        for fits, what, value in limits
    ]


def _count(octets: tf.Tensor, text: bytes) -> tf.Tensor:
    """How often a text stands in a file; by chance, one of four bytes once in gigabytes."""
    last = tf.size(octets) - len(text) + 1
    found = [octets[place : place + last] == byte for place, byte in enumerate(text)]
    return tf.math.count_nonzero(tf.reduce_all(found, axis=0), dtype=tf.int32)
