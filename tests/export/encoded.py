"""Image files of every kind that an export decodes, and hostile ones."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Format and options of Pillow, each with a header of its own.
KINDS = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "PNG": ("PNG", {}),
    "lossy WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "extended WebP": ("WEBP", {"icc_profile": b"profile", "lossless": True}),
}


def picture(height, width, seed=0):
    """Smooth colors, far enough from black and white that no filter overshoots."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(50, 200, (3, 3, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encode(image, kind="PNG"):
    """Bytes of an image file."""
    format, options = KINDS[kind]
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def claims(kind, side):
    """A small file that says it is of `side` x `side` pixels."""
    contents = bytearray(encode(picture(16, 16), kind))
    high, low = side.to_bytes(2, "big"), side.to_bytes(2, "little")
    if "JPEG" in kind:
        frame = max(contents.find(b"\xff\xc0"), contents.find(b"\xff\xc2"))
        contents[frame + 5 : frame + 9] = high * 2
    elif kind == "PNG":
        contents[18:20] = contents[22:24] = high
    elif kind == "lossy WebP":
        contents[26:30] = low * 2
    elif kind == "lossless WebP":
        contents[21:25] = ((side - 1) * (2**14 + 1)).to_bytes(4, "little")
    else:
        contents[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(contents)


def with_compressed_texts(count):
    """A PNG with texts that unpack to 8 MB each."""
    data = b"key\0\0" + zlib.compress(bytes(8_000_000), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + data))
    contents = encode(picture(16, 16))
    return contents[:33] + chunk * count + contents[33:]


def with_scans(count):
    """A progressive JPEG whose last scan comes again and again."""
    contents = encode(picture(512, 512), "progressive JPEG")
    scan = contents[contents.rfind(b"\xff\xda") : -2]
    return contents[:-2] + scan * count + contents[-2:]
