"""The data pipeline alone, in images per second of one thread; images have CIFAR's size."""

from time import perf_counter

from turns import parser, print_title

from keras_resnext.data import Augmentation, Batches, load_dataset

AUGMENTATIONS = {
    "none": None,
    "crop and flip": Augmentation(crop_padding=4, flip=True),
    "crop, flip and rotation": Augmentation(crop_padding=4, flip=True, rotation_degrees=15),
}

if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--batches", type=int, default=200)
    chosen = options.parse_args()
    size = chosen.batch_size
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
        for index in range(chosen.batches):
            source.batch(index // len(source), index % len(source))
        print(f"| {name} | {chosen.batches * size / (perf_counter() - start):,.0f} |")
