"""From the bytes of an image file to pixels of the size that the network takes."""

import tensorflow as tf

from keras_resnext.export.tensorflow.headers import count_pixels

MAX_PIXELS = 25_000_000
AT_A_TIME = 4  # images of a request that are decoded at once: 75 MB each, at most


def decode(image_bytes: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Decode a batch of JPEG, PNG, GIF (its first frame) or WebP files, of any size each.

    Args:
        image_bytes: string (batch,).
        height: wanted, in pixels.
        width: wanted, in pixels.

    Returns:
        float32 (batch, height, width, 3), RGB, 0 to 255. Transparency is dropped, and what EXIF
        says of the orientation is not heeded.

    Raises:
        InvalidArgumentError: (when run) a file is of another kind, damaged, or larger than
            `MAX_PIXELS`.
    """
    return tf.map_fn(
        lambda contents: fit(_pixels(contents), height, width),
        image_bytes,
        parallel_iterations=AT_A_TIME,
        fn_output_signature=tf.TensorSpec((height, width, 3), tf.float32),
    )


def _pixels(contents):
    count = count_pixels(contents)
    message = f"image_bytes: expected images of at most {MAX_PIXELS} pixels, got one of"
    with tf.control_dependencies([tf.debugging.Assert(count <= MAX_PIXELS, [message, count])]):
        return tf.io.decode_image(contents, channels=3, expand_animations=False)


def fit(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Scale until the wanted size is covered, bicubic with antialiasing, and cut out the centre.

    As Pillow's `ImageOps.fit`, by which `keras_resnext.data` reads folders of images.
    `tf.image.resize` cuts at whole pixels only, and shifts the picture by up to half of one.

    Args:
        image: uint8 (any height, any width, 3).
        height: wanted, in pixels.
        width: wanted, in pixels.

    Returns:
        float32 (height, width, 3), whole numbers; an image of the wanted size is unchanged.
    """
    given = tf.cast(tf.shape(image)[:2], tf.float32)
    wanted = tf.constant((height, width), tf.float32)
    scale = tf.reduce_max(wanted / given)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=(height, width),
        scale=tf.stack((scale, scale)),
        translation=(wanted - given * scale) / 2,
        kernel_type="keyscubic",
        antialias=True,
    )
    return tf.round(tf.clip_by_value(resized[0], 0, 255))
