"""Folders of images for the runs in this folder, from the CIFAR-100 archive.

    python results/finetune/make_folders.py DIR FOLDERS

`FOLDERS/pretrain` has ninety classes; `FOLDERS/few` has the ten others, as a user's images are: in
several formats and sizes, with damaged files among them; in `FOLDERS/unbalanced` five of the ten
have a tenth of the images. Runs once; the same images each time.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from keras_resnext.data import Split, load_dataset

HELD_OUT = range(0, 100, 10)  # labels of apple, bowl, chair, dolphin, ...
PRETRAIN_IMAGES, FEW_IMAGES, RARE_IMAGES = 200, 60, 6
FORMATS = ("jpg", "png", "webp")


def write(split: Split, names: tuple[str, ...], folder: Path, counts: dict[int, int]) -> None:
    """Write the first images of each class as they are, 32x32 PNG."""
    for label, count in counts.items():
        (folder / names[label]).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(split.labels == label)[:count]):
            Image.fromarray(split.images[row]).save(folder / names[label] / f"{number:03}.png")


def vary(folder: Path, rng: np.random.Generator) -> None:
    """Bring images to other sizes, shapes and formats, and add files that are damaged."""
    for path in sorted(folder.rglob("*.png")):
        image = Image.open(path)
        width, height = rng.integers(40, 200) * rng.uniform([1, 1], [1.15, 1.15])
        image = image.resize((round(width), round(height)), Image.Resampling.BICUBIC)
        path.unlink()
        image.save(path.with_suffix(f".{rng.choice(FORMATS)}"), quality=90)
    first, second, third, *_ = sorted(folder.iterdir())
    whole = next(first.glob("*.jpg")).read_bytes()
    (first / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (second / "empty.png").write_bytes(b"")
    (third / "page.webp").write_text("<html>404 Not Found</html>")


def main(archive: str, target: str) -> None:
    """Write all three."""
    dataset, target = load_dataset("cifar100", archive), Path(target)
    names, held_out = dataset.class_names, list(HELD_OUT)
    others = [label for label in range(100) if label not in held_out]
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    for part, most in {"train": PRETRAIN_IMAGES, "validation": 20, "test": 20}.items():
        folder = target / "pretrain" / part
        write(parts[part], names, folder, dict.fromkeys(others, most))
    for name, rare in {"few": FEW_IMAGES, "unbalanced": RARE_IMAGES}.items():
        folder = target / name
        counts = dict.fromkeys(held_out[::2], FEW_IMAGES) | dict.fromkeys(held_out[1::2], rare)
        write(dataset.train, names, folder / "train", counts)
        vary(folder / "train", np.random.default_rng(0))
        write(dataset.validation, names, folder / "validation", dict.fromkeys(held_out, 50))
        write(dataset.test, names, folder / "test", dict.fromkeys(held_out, 100))


if __name__ == "__main__":
    main(*sys.argv[1:])
