"""Find the image files that a user names."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from keras_resnext.data.image_folder import IMAGE_SUFFIXES

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def find_images(names: Sequence[str]) -> list[Path]:
    """List files, each once.

    Args:
        names: files, folders or patterns of `glob` ("**" for any depth of folders). Of a folder,
            those that are named like images, at any depth, none of them hidden.

    Returns:
        The files in the order of `names`, those of a folder or pattern sorted.

    Raises:
        ValueError: nothing is there by one of the names, or it is a URL.
    """
    if not names:
        raise ValueError("images: expected a file, folder or pattern, got none")
    found = [path for name in names for path in _find(name)]
    return list(dict.fromkeys(found))


def _find(name: str) -> list[Path]:
    if URL.match(name):
        raise ValueError(f"images: expected a file, got the URL {name}; download it first")
    path = Path(name).expanduser()
    if path.is_dir():
        found = _in_folder(path)
        what = f"an image ({', '.join(IMAGE_SUFFIXES)})"
    elif path.is_file():
        return [path]
    else:
        matches = map(Path, glob.glob(str(path), recursive=True))
        found = sorted(match for match in matches if match.is_file())
        what = "a file"
    if not found:
        raise ValueError(f"images: expected {what} by the name {name}, found none")
    return found


def _in_folder(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
