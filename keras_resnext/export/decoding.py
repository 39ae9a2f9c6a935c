"""From the bytes of an image file to pixels of the size that the network takes, in TensorFlow.

A file of kilobytes can decode to gigabytes, and TensorFlow's decoders allocate first: limits are
checked before.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_resnext.preprocessing import Preprocessing

AT_A_TIME = 4  # images of a request that are decoded at once: 75 MB each, at most
MAX_PIXELS = 25_000_000
MAX_SCANS = 100
"""Of a JPEG, each of which goes over the whole image; encoders write about ten."""
MAX_COMPRESSED_TEXTS = 8
"""Chunks of a PNG that unpack to 8 MB each; programs write one or two."""
PIXELS_PER_BYTE = (512, 8_300, 300_000)
"""Of JPEG, PNG and WebP, more than which no valid file can hold: an 8x8 block of a JPEG takes a bit
or more, deflate packs by 1,032 at most, and a PNG has 8 pixels per byte or fewer."""
KERNELS = {"bilinear": ("triangle", 1.0), "bicubic": ("keyscubic", 2.0)}
"""TensorFlow's names, and radii in pixels of the coarser grid."""


def decode(image_bytes: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Decode a batch of JPEG, PNG or WebP files, of any size each.

    Args:
        image_bytes: string (batch,).
        preprocessing: says how to scale and crop; images are not normalized.

    Returns:
        float32 (batch, image_size, image_size, 3), RGB, 0 to 255. Transparency is dropped, and the
        orientation in EXIF is ignored.

    Raises:
        InvalidArgumentError: (when run) a file is of another kind, damaged, or beyond the limits
            above.
    """
    size = preprocessing.image_size

    def decode_one(contents):
        with tf.control_dependencies(check_header(contents)):
            image = tf.io.decode_image(contents, channels=3, expand_animations=False)
        return fit(image, preprocessing)

    return tf.map_fn(
        decode_one,
        image_bytes,
        parallel_iterations=AT_A_TIME,
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
    )


def fit(image: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Scale the shorter side, and cut a square out of the center.

    As torchvision's `Resize` and `CenterCrop` on PIL images, by which `keras_resnext.data` reads
    files: to a level, since Pillow rounds weights too. Only what stays is computed.
    `tf.image.resize` cuts at whole pixels only, and does not round between the two directions.

    Args:
        image: uint8 (any height, any width, 3).
        preprocessing: says how.

    Returns:
        float32 (image_size, image_size, 3), whole numbers; an image of that size that is not to be
        scaled is unchanged.
    """
    sides = tf.shape(image)[:2]
    rows, columns = (_part(sides[axis], tf.reduce_min(sides), preprocessing) for axis in (0, 1))
    image = image[rows.first : rows.last, columns.first : columns.last]
    # Sideways first, as Pillow does; on its side, since the operation takes rows first and would
    # make all of the image float32.
    image = _scale_rows(tf.transpose(image, (1, 0, 2)), columns, preprocessing)
    return _scale_rows(tf.transpose(image, (1, 0, 2)), rows, preprocessing)


class _Part(NamedTuple):
    """The pixels from `first` to `last` of a side, of which a side of the result is computed.

    A pixel of the result is `1 / scale` of those; `translation` is where the first of them lies.
    """

    first: tf.Tensor
    last: tf.Tensor
    scale: tf.Tensor
    translation: tf.Tensor


def _part(side: tf.Tensor, shorter: tf.Tensor, preprocessing: Preprocessing) -> _Part:
    wanted = preprocessing.image_size
    # A strip of a million pixels by one is scaled to more than int32 and float32 can count.
    side, shorter = tf.cast(side, tf.int64), tf.cast(shorter, tf.int64)
    scaled = tf.cast(preprocessing.resize_size * side // shorter, tf.float64)
    scale = scaled / tf.cast(side, tf.float64)
    start = tf.round((scaled - wanted) / 2)
    reach = KERNELS[preprocessing.interpolation][1] * tf.maximum(1 / scale, 1)
    first = tf.maximum(tf.cast(tf.floor(start / scale - reach), tf.int64), 0)
    last = tf.minimum(tf.cast(tf.math.ceil((start + wanted) / scale + reach), tf.int64), side)
    return _Part(first, last, scale, tf.cast(first, tf.float64) * scale - start)


def _scale_rows(image: tf.Tensor, part: _Part, preprocessing: Preprocessing) -> tf.Tensor:
    """From the rows of a part, uint8 or float32 (rows, width, 3), to those of the result."""
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=(preprocessing.image_size, tf.shape(image)[1]),
        scale=tf.cast(tf.stack((part.scale, 1)), tf.float32),
        translation=tf.cast(tf.stack((part.translation, 0)), tf.float32),
        kernel_type=KERNELS[preprocessing.interpolation][0],
        antialias=True,
    )
    # Halves, which halving a size makes many of, go up in Pillow.
    return tf.floor(tf.clip_by_value(resized[0], 0, 255) + 0.5)


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
