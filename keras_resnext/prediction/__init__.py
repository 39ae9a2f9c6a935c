"""What a trained network makes of image files."""

from importlib.util import find_spec

if not find_spec("PIL"):
    raise ImportError('reading images needs pillow. Type: pip install "keras-resnext[scripts]"')
