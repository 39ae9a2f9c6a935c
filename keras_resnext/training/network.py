"""From settings to a network ready for `fit`, and what settings leave to the initial weights."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from keras_resnext import backend
from keras_resnext.architecture import Architecture, stage_blocks
from keras_resnext.checkpoint import Checkpoint, open_checkpoint
from keras_resnext.data import Batches, Dataset, Split
from keras_resnext.layers import BatchNorm
from keras_resnext.models import LARGEST_CIFAR_SIZE, ResNeXt, in_data_format
from keras_resnext.preprocessing import Preprocessing, whole_image
from keras_resnext.training.losses import loss, one_hot
from keras_resnext.training.optimizer import optimizer
from keras_resnext.training.settings import Settings
from keras_resnext.weights.config import CONFIG

OPEN = ("cardinality", "base_width", "stem", "shortcut", "squeeze_excitation", "reduce")
FOR_CPUS = ("resnext11", "resnext26")  # with the large stem on small images, too


def resolve(settings: Settings) -> Settings:
    """Fill in what the settings leave to the initial weights, or else to the model.

    The weights are opened only if something is left open: a run resumes without them.

    Raises:
        ValueError: the weights are not there, or belong to another network than the settings name.
        ConnectionError: the hub cannot be reached.
    """
    network, size, checkpoint = settings.network, settings.data.image_size, None
    given = {name: value for name in OPEN if (value := getattr(network, name)) is not None}
    size_is_open = settings.data.has_files and size is None
    if network.weights is not None and (len(given) < len(OPEN) or size_is_open):
        checkpoint = open_checkpoint(network.weights)
    if size_is_open:
        measured = checkpoint.preprocessing if checkpoint else None
        size = (measured or Preprocessing()).image_size
    if checkpoint:
        default = checkpoint.architecture
    else:
        large = network.model in FOR_CPUS or (size or 0) > LARGEST_CIFAR_SIZE
        default = Architecture((), stem="imagenet" if large else "cifar")
        if network.model == "resnext29":
            default = dataclasses.replace(default, cardinality=8, base_width=64)
    values = {name: getattr(default, name) for name in OPEN} | given
    resolved = settings.change(image_size=size, **values)
    ours = architecture(resolved)
    if checkpoint and ours != checkpoint.architecture:
        raise ValueError(
            f"--weights: {checkpoint.name} is a {checkpoint.architecture}, and the other "
            f"options ask for a {ours}; change those, or choose other weights"
        )
    return resolved


def architecture(settings: Settings) -> Architecture:
    """The network that resolved settings describe."""
    values = {name: getattr(settings.network, name) for name in OPEN}
    return Architecture(stage_blocks(settings.network.model, values["reduce"]), **values)


def origin(settings: Settings, folder: Path | None = None) -> Checkpoint | None:
    """The checkpoint that says how images become the network's input, and its license.

    What a run itself has saved in `folder` goes first: so it resumes without the initial weights.
    """
    if folder and (folder / CONFIG).is_file():
        return open_checkpoint(folder)
    return open_checkpoint(settings.network.weights) if settings.network.weights else None


def preprocessing(settings: Settings, source: Checkpoint | None) -> Preprocessing | None:
    """How image files become the network's input: as for `source`, at the image size.

    None: the data set has its own way.
    """
    size = settings.data.image_size
    if size is None:
        return None
    measured = source.preprocessing if source else None
    if measured is None and settings.data.dataset != "imagenet":
        return whole_image(size)
    measured = measured or Preprocessing()
    resize_size = round(size * measured.resize_size / measured.image_size)
    return dataclasses.replace(measured, image_size=size, resize_size=resize_size)


def build_network(settings: Settings, dataset: Dataset) -> keras.Model:
    """Build the network of resolved settings; with progressive resizing it takes any size."""
    height, width, channels = dataset.input_shape
    if settings.augmentation.small_sizes:
        height = width = None  # type: ignore[assignment]
    return ResNeXt(
        **dataclasses.asdict(architecture(settings)),
        input_shape=in_data_format((height, width, channels)),
        classes=dataset.num_classes,
        classifier_activation=None,
        name=settings.network.model,
    )


def compiled_network(
    settings: Settings, dataset: Dataset, steps_per_epoch: int, steps_per_execution: int = 1
) -> keras.Model:
    """Build the network to train, which returns logits, with optimizer, loss and accuracy.

    Sets the global seed and dtype policy.

    Raises:
        ValueError: a class that is to be weighted has no training image.
    """
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(backend.dtype_policy(settings.precision))
    model = build_network(settings, dataset)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.synchronized = settings.batch_norm == "synchronized"
            # Keras' layer then computes as in inference, and its weights stay as they are.
            layer.trainable = not settings.optimizer.freeze_batch_norm
    model.compile(
        optimizer(settings, steps_per_epoch),
        loss=loss(settings, dataset),
        weighted_metrics=["accuracy"],  # on several devices some samples only fill up the batch
        steps_per_execution=steps_per_execution,
    )
    return model


def training_batches(
    settings: Settings,
    dataset: Dataset,
    workers: int = 2,
    shard: tuple[int, int] = (0, 1),
    use_multiprocessing: bool = False,
) -> Batches:
    """Shuffled and augmented batches of the training split, which holds one batch or more.

    Raises:
        ValueError: training would fail on this data, now or after some epochs.
    """
    if not (len(dataset.train) and len(dataset.validation)):
        raise ValueError(
            f"--data-dir: expected images of {dataset.name} in train/ and val/, got "
            f"{len(dataset.train)} and {len(dataset.validation)}"
        )
    size, largest = dataset.input_shape[0], max(settings.augmentation.small_sizes, default=0)
    if largest > size:
        raise ValueError(f"--small-sizes: must be at most the images' {size} pixels, got {largest}")
    if settings.data.batch_size > len(dataset.train):
        raise ValueError(
            f"--batch-size: must be at most the {len(dataset.train)} training images of "
            f"{dataset.name}, got {settings.data.batch_size}"
        )
    return Batches(
        dataset.train,
        dataset,
        batch_size=settings.data.batch_size,
        shuffle=True,
        augmentation=settings.augmentation,
        one_hot=one_hot(settings),
        drop_remainder=settings.data.drop_remainder,
        seed=settings.seed,
        workers=workers,
        use_multiprocessing=use_multiprocessing,
        shard=shard,
    )


def statistics_batches(settings: Settings, dataset: Dataset) -> Batches:
    """Batches of augmented training images at full size, for moving statistics of another network.

    At momentum 0.9 they keep 0.5 % of what they were.
    """
    rows = np.random.default_rng(settings.seed).permutation(len(dataset.train))
    chosen = dataset.train.take(np.resize(rows, 50 * settings.data.batch_size))
    full_size = settings.change(small_sizes=(), small_until=())
    return training_batches(full_size, dataclasses.replace(dataset, train=chosen))


def plain_batches(settings: Settings, dataset: Dataset, split: Split) -> Batches:
    """Batches of a split in its own order, without augmentation."""
    return Batches(split, dataset, batch_size=settings.data.batch_size, one_hot=one_hot(settings))
