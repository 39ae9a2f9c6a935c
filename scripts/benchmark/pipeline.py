"""The data pipeline alone, in images per second: images of CIFAR's size by one thread, or JPEG
files by all cores in turns with torchvision's ImageFolder and DataLoader.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from turns import parser, print_title

from keras_resnext.data import Augmentation, Batches, load_dataset
from keras_resnext.preprocessing import MEAN, STD, Preprocessing

AUGMENTATIONS = {
    "none": None,
    "crop and flip": Augmentation(crop_padding=4, flip=True),
    "crop, flip and rotation": Augmentation(crop_padding=4, flip=True, rotation_degrees=15),
}


def measure_arrays(size: int, batches: int) -> None:
    """Print a row for each of `AUGMENTATIONS`."""
    print_title(f"Data pipeline, batch {size}, one thread")
    dataset = load_dataset("demo")
    print("| augmentation | images/s |\n|---|---|")
    for name, augmentation in AUGMENTATIONS.items():
        source = Batches(
            dataset.train,
            dataset,
            batch_size=size,
            shuffle=True,
            augmentation=augmentation,
            drop_remainder=True,
        )
        source.batch(0, 0)
        start = perf_counter()
        for index in range(batches):
            source.batch(index // len(source), index % len(source))
        print(f"| {name} | {batches * size / (perf_counter() - start):,.0f} |")


def write_photographs(folder: Path, count: int) -> None:
    """Write JPEG files of two classes, of the size and about the bytes that ImageNet's have."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class {number % 2}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        shapes = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC))
        grain = rng.normal(0, 8, (375, 500, 1))
        Image.fromarray((shapes + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def measure_files(folder: Path, size: int, rounds: int) -> None:
    """Print images per second of whole passes over the files, ours and torchvision's in turns."""
    sys.path.append(str(Path(__file__).parents[2]))
    from tests.peers import load_peers

    transforms = (torchvision := load_peers()[1]).transforms
    import torch

    cores = os.cpu_count() or 1
    print_title(f"Decoding, RandomResizedCrop to 224, flip, normalization: batch {size}")
    dataset = load_dataset("folder", folder, Preprocessing())
    ours = Batches(
        dataset.train,
        dataset,
        batch_size=size,
        shuffle=True,
        augmentation=Augmentation(flip=True, crop_scale=(0.08, 1.0)),
    )
    mean, std = (np.divide(color, 255).tolist() for color in (MEAN, STD))
    prepared = [
        *(transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()),
        *(transforms.ToTensor(), transforms.Normalize(mean, std)),
    ]
    theirs = torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(folder, transforms.Compose(prepared)),
        size,
        shuffle=True,
        num_workers=cores,
        persistent_workers=True,
    )
    contestants: dict[str, Callable[[], Iterable]] = {
        f"torchvision, DataLoader of {cores} processes": lambda: theirs,
        f"keras_resnext, {cores} threads": lambda: (ours[index] for index in range(len(ours))),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for round in range(rounds + 1):  # the first starts processes and threads
        for name, batches in contestants.items():
            start = perf_counter()
            count = sum(len(labels) for _, labels in batches())
            if round:
                speeds[name].append(count / (perf_counter() - start))
        ours.set_epoch(round + 1)
    print(f"Load average {os.getloadavg()[0]:.1f}.\n\n| pipeline | images/s | torchvision = 1 |")
    print("|---" * 3 + "|")
    peer = next(iter(speeds.values()))
    for name, own in speeds.items():
        ratios = [a / b for a, b in zip(own, peer, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {median(own):,.0f} | {spread} |")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--batches", type=int, default=200, help="images of CIFAR's size: batches")
    options.add_argument("--files", type=int, help="measure so many JPEG files of 500x375 instead")
    options.add_argument("--rounds", type=int, default=9, help="files: passes of each contestant")
    chosen = options.parse_args()
    if chosen.files:
        with tempfile.TemporaryDirectory() as name:
            write_photographs(Path(name), chosen.files)
            measure_files(Path(name), chosen.batch_size, chosen.rounds)
    else:
        measure_arrays(chosen.batch_size, chosen.batches)
