"""The data pipeline alone, in images per second: images of CIFAR's size by one thread, and by
threads and processes for all cores; or JPEG files by all cores in turns with torchvision's
ImageFolder and DataLoader.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from turns import parser, title

from keras_resnext.data import Augmentation, Batches, load_dataset
from keras_resnext.files import markdown_table
from keras_resnext.preprocessing import MEAN, STD, Preprocessing

AUGMENTATIONS = {
    "none": None,
    "crop and flip": Augmentation(crop_padding=4, flip=True),
    "crop, flip and rotation": Augmentation(crop_padding=4, flip=True, rotation_degrees=15),
    "crop, flip and TrivialAugment": Augmentation(
        crop_padding=4, flip=True, policy="trivialaugment"
    ),
}


def measure_arrays(augmentations: Iterable[str], size: int, epochs: int) -> None:
    """Print a table with a row for each of some `AUGMENTATIONS`."""
    print(title(f"Data pipeline, batch {size}"))
    dataset, rows = load_dataset("demo"), []
    cores = os.cpu_count() or 1
    for name in augmentations:
        row = [name]
        for workers, use_multiprocessing in ((0, False), (cores, False), (cores, True)):
            batches = Batches(
                dataset.train,
                dataset,
                batch_size=size,
                shuffle=True,
                augmentation=AUGMENTATIONS[name],
                drop_remainder=True,
                workers=workers,
                use_multiprocessing=use_multiprocessing,
            )
            _read(batches)  # until the workers are there
            start = perf_counter()
            for epoch in range(1, 1 + epochs):
                batches.set_epoch(epoch)
                _read(batches)
            row.append(f"{epochs * len(batches) * size / (perf_counter() - start):,.0f}")
        rows.append(row)
    header = ["augmentation", "one thread", f"{cores} threads", f"{cores} processes"]
    print(f"Images/s:\n\n{markdown_table(header, rows)}")


def _read(batches: Batches) -> None:
    for index in range(len(batches)):
        batches[index]


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
    print(title(f"Decoding, RandomResizedCrop to 224, flip, normalization: batch {size}"))
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
    peer, rows = next(iter(speeds.values())), []
    for name, own in speeds.items():
        ratios = [a / b for a, b in zip(own, peer, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append((name, f"{median(own):,.0f}", spread))
    found = markdown_table(("pipeline", "images/s", "torchvision = 1"), rows)
    print(f"Load average {os.getloadavg()[0]:.1f}.\n\n{found}")


if __name__ == "__main__":
    options = parser(__doc__)
    names = list(AUGMENTATIONS)
    options.add_argument("--augmentations", nargs="+", default=names, choices=names)
    options.add_argument("--epochs", type=int, default=7, help="of the demo set's 3600 images")
    options.add_argument("--files", type=int, help="measure so many JPEG files of 500x375 instead")
    options.add_argument("--rounds", type=int, default=9, help="files: passes of each contestant")
    chosen = options.parse_args()
    if chosen.files:
        with tempfile.TemporaryDirectory() as name:
            write_photographs(Path(name), chosen.files)
            measure_files(Path(name), chosen.batch_size, chosen.rounds)
    else:
        measure_arrays(chosen.augmentations, chosen.batch_size, chosen.epochs)
