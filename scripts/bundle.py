"""Put a network trained on CIFAR-100 into the package, as the preset `cifar100`.

Kernels are stored in float16, if that moves the accuracy on the test split by no more than 0.05
points.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_resnext import Checkpoint, evaluate, open_checkpoint
from keras_resnext.checkpoint import WEIGHTS, write_config
from keras_resnext.data import Dataset, load_dataset
from keras_resnext.files import write_safetensors
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import to_torch
from keras_resnext.weights.presets import BUNDLED

NAME = "cifar100"
LARGEST_DIFFERENCE = 5e-4


def stored(array: np.ndarray) -> np.ndarray:
    """An array as it is stored: kernels in half precision, what is small as it is."""
    return array.astype(np.float16) if array.ndim > 1 else array


def described(weights: LayerWeights, source: Checkpoint, dataset: Dataset) -> Checkpoint:
    """The network with all that its preset says of it but the accuracy."""
    return replace(
        source,
        name=NAME,
        read=lambda: weights,
        preprocessing=dataset.preprocessing,
        class_names=dataset.class_names,
        license="Apache-2.0",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a run's folder, or a file of weights")
    parser.add_argument("--data-dir", required=True, help="where the CIFAR-100 archive lies")
    parser.add_argument("--trained-on", required=True, help="data set and procedure, in words")
    options = parser.parse_args(arguments)
    dataset = load_dataset(NAME, options.data_dir)
    source = replace(open_checkpoint(options.checkpoint), trained_on=options.trained_on)
    weights = source.weights()
    rounded = {
        name: [stored(array).astype(array.dtype) for array in arrays]
        for name, arrays in weights.arrays.items()
    }
    ours = described(replace(weights, arrays=rounded), source, dataset)
    before = evaluate(described(weights, source, dataset), dataset)
    after = evaluate(ours, dataset)
    print(f"top-1 {before.top1:.2%} as trained, {after.top1:.2%} as stored")
    if abs(before.top1 - after.top1) > LARGEST_DIFFERENCE:
        sys.exit("error: half precision changes the accuracy; nothing is written")
    tensors = {name: stored(array) for name, array in to_torch(weights).items()}
    write_safetensors(BUNDLED[NAME] / WEIGHTS["best"], tensors, {"format": "pt"})
    accuracy = {"cifar-100 test top-1": after.top1, "cifar-100 test top-5": after.top5}
    write_config(BUNDLED[NAME], replace(ours, accuracy=accuracy))
    print(f"Written to {BUNDLED[NAME]}")


if __name__ == "__main__":
    main()
