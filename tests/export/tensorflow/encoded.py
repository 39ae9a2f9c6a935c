"""Image files of every kind, made by Pillow."""

import io

import numpy as np
from PIL import Image

# Format and options of Pillow, each with a header of its own.
KINDS = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "lossy WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "extended WebP": ("WEBP", {"icc_profile": b"profile", "lossless": True}),
}


def picture(height, width, seed=0):
    """Smooth colours, far enough from black and white that no filter overshoots."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(50, 200, (3, 3, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encode(image, kind):
    """Bytes of an image file."""
    format, options = KINDS[kind]
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def animation(images, format):
    """Bytes of a GIF or WebP file with several frames."""
    file = io.BytesIO()
    images[0].save(file, format, save_all=True, append_images=images[1:], duration=100)
    return file.getvalue()
