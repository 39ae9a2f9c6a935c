"""From the bytes of an image file to pixels of the size that the network takes, in TensorFlow."""

from typing import NamedTuple

import tensorflow as tf

from keras_resnext.export.headers import check_header
from keras_resnext.preprocessing import Preprocessing

AT_A_TIME = 4  # images of a request that are decoded at once: 75 MB each, at most
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
        InvalidArgumentError: (when run) a file is of another kind, damaged, or beyond the limits of
            `headers`.
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
