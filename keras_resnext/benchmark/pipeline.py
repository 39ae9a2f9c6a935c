"""The data pipeline alone, in images a second."""

from time import perf_counter

from keras_resnext.data import Augmentation, Batches, load

AUGMENTATIONS = {
    "none": None,
    "crop and flip": Augmentation(crop_padding=4, flip=True),
    "crop, flip and rotation": Augmentation(crop_padding=4, flip=True, rotation_degrees=15),
}


def measure_pipeline(batch_size: int, batches: int) -> str:
    """Draw batches of the demo set in one thread; the size of its images is CIFAR's."""
    dataset = load("demo")
    lines = ["| augmentation | images/s |", "|---|---|"]
    for name, augmentation in AUGMENTATIONS.items():
        source = Batches(
            dataset.train,
            dataset,
            batch_size=batch_size,
            shuffle=True,
            augmentation=augmentation,
            drop_remainder=True,
        )
        source.batch(0, 0)
        start = perf_counter()
        for index in range(batches):
            source.batch(index // len(source), index % len(source))
        speed = batches * batch_size / (perf_counter() - start)
        lines.append(f"| {name} | {speed:,.0f} |")
    return "\n".join(lines)
