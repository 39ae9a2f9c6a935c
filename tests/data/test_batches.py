import hashlib
import multiprocessing
import threading
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext.data import (
    Augmentation,
    Batches,
    ImageFiles,
    SharedEvaluation,
    Split,
)
from keras_resnext.data.augmentation import reduce_size
from keras_resnext.preprocessing import normalize
from tests.data.conftest import random_split

EVERYTHING = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)
MIXUP, CUTMIX = replace(EVERYTHING, mixup=0.4), Augmentation(cutmix=1.0)
CROPS = replace(MIXUP, crop_scale=(0.08, 1.0))


def make(dataset, **arguments):
    """Shuffled, augmented batches of 8: seven per epoch, the last of two."""
    settings = {"batch_size": 8, "shuffle": True, "augmentation": EVERYTHING} | arguments
    return Batches(dataset.train, dataset, **settings)


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def normalized(dataset):
    images, how = dataset.train.images, dataset.preprocessing
    return normalize(images, how.mean, how.std)


def concatenated(parts):
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


# What a batch is


def test_plain_batches_are_the_samples_in_order(dataset):
    batches = Batches(dataset.train, dataset, batch_size=8)
    assert len(batches) == 7
    images, labels = concatenated(batches)
    assert (images.dtype, labels.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(images, normalized(dataset))
    np.testing.assert_array_equal(labels, dataset.train.labels)
    whole = make(dataset, drop_remainder=True)
    assert [len(labels) for _, labels in whole] == [8] * 6


def test_shuffling_shows_every_sample_once_in_a_new_order_each_epoch(dataset):
    batches = make(dataset, augmentation=None)
    known = {image.tobytes(): i for i, image in enumerate(normalized(dataset))}
    orders = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        images, labels = concatenated(batches)
        orders.append([known[image.tobytes()] for image in images])
        np.testing.assert_array_equal(labels, dataset.train.labels[orders[-1]])
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(map(tuple, orders))) == 3


def test_data_formats_hold_the_same_values(dataset, channels_first):
    first = make(dataset)[2][0]
    keras.config.set_image_data_format("channels_last")
    last = make(dataset)[2][0]
    assert first.shape == (8, 3, 8, 8)
    np.testing.assert_array_equal(first, last.transpose(0, 3, 1, 2))


def test_a_batch_is_a_pure_function_of_seed_epoch_and_index(dataset):
    one = make(dataset, workers=0, seed=5, augmentation=MIXUP)
    two = make(dataset, seed=5, augmentation=MIXUP)
    keys = [(epoch, index) for epoch in (4, 0, 7) for index in (6, 0, 3)]
    expected = {key: one.batch(*key) for key in keys}
    for key in reversed(keys):
        assert_same(two.batch(*key), expected[key])
    assert len({images.tobytes() for images, _ in expected.values()}) == len(keys)
    other = make(dataset, seed=6, augmentation=MIXUP)
    assert not np.array_equal(other.batch(4, 6)[0], expected[4, 6][0])


@pytest.mark.parametrize(
    ("augmentation", "digest"),
    [
        (None, "cd3aa27b77d63951"),
        (Augmentation(2, True), "5ca8ad798a118242"),
        (Augmentation(2, True, padding_color="black"), "8a788d14a87f7bf4"),
        (Augmentation(2, True, policy="trivialaugment", erasing=0.5), "de5b18fc1c3b81de"),
        (
            Augmentation(2, True, 0, "mean", "trivialaugment", 0.5, mixup=0.2, cutmix=1.0),
            "b00952077995fd06",
        ),
    ],
)
def test_batches_are_those_of_older_versions(dataset, augmentation, digest):
    """Else a run begun with an older version would go on with other batches."""
    one = make(dataset, augmentation=augmentation, seed=3)
    found = hashlib.sha256()
    for images, labels in (one.batch(0, 0), one.batch(2, 6)):
        found.update(images.tobytes() + labels.tobytes())
    assert found.hexdigest()[:16] == digest


def test_one_hot_labels_are_the_classes(dataset):
    plain, one_hot = (make(dataset, one_hot=value).batch(1, 6) for value in (False, True))
    np.testing.assert_array_equal(one_hot[0], plain[0])
    assert one_hot[1].dtype == np.float32
    np.testing.assert_array_equal(one_hot[1], np.eye(4)[plain[1]])


def test_mixup_averages_the_batch_with_itself_rolled_by_one(dataset):
    for index in (0, 6):  # the last batch is smaller
        images, labels = make(dataset, one_hot=True).batch(1, index)
        mixed_images, mixed_labels = make(dataset, augmentation=MIXUP).batch(1, index)
        # A sample whose neighbor has another label gives the weight away.
        i = next(i for i in range(len(labels)) if (labels[i] != labels[i - 1]).any())
        weight = mixed_labels[i, labels[i].argmax()]
        for mixed, own in ((mixed_images, images), (mixed_labels, labels)):
            expected = weight * own + (1 - weight) * np.roll(own, 1, axis=0)
            np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_images_are_small_until_their_epoch(dataset):
    augmentation = replace(MIXUP, small_sizes=(2, 4), small_until=(1, 3))
    small, full = make(dataset, augmentation=augmentation), make(dataset, augmentation=MIXUP)
    for epoch, size in enumerate((2, 4, 4, 8)):
        images, labels = full.batch(epoch, 0)
        assert_same(small.batch(epoch, 0), (reduce_size(images, size), labels))


# Files


@pytest.fixture
def files(dataset, tmp_path):
    """The same data set, its training images in files."""
    paths = [str(tmp_path / f"{number}.png") for number in range(50)]
    for path, image in zip(paths, dataset.train.images, strict=True):
        Image.fromarray(image).save(path)
    images = ImageFiles(paths, dataset.preprocessing)
    train = Split(images, dataset.train.labels, dataset.train.superclass_labels)
    return replace(dataset, train=train)


@pytest.mark.parametrize("augmentation", [None, MIXUP, CROPS])
def test_files_make_the_batches_that_arrays_make(dataset, files, augmentation):
    arrays, lazy = (make(each, augmentation=augmentation) for each in (dataset, files))
    for index in (*range(7), 2):
        assert_same(lazy[index], arrays.batch(0, index))
    if augmentation:
        assert not np.array_equal(lazy.batch(0, 0)[0], make(dataset).batch(0, 0)[0])


def test_damaged_files_give_way_to_their_neighbors(dataset, files, capsys):
    for number in (7, 8, 49):
        path = files.train.images.paths[number]
        with open(path, "r+b") as file:
            file.truncate(100)
    used = [*range(7), 9, 9, *range(9, 49), 0]
    replaced = replace(dataset, train=dataset.train.take(np.array(used)))
    for epoch in range(2):
        found, expected = (make(each, augmentation=CROPS) for each in (files, replaced))
        for index in range(7):
            assert_same(found.batch(epoch, index), expected.batch(epoch, index))
    assert files.train.labels_of().tolist() == replaced.train.labels.tolist()
    told = capsys.readouterr().out.splitlines()
    assert sorted(line.split("/")[-1].split(":")[0] for line in told) == [
        "49.png",
        "7.png",
        "8.png",
    ]
    assert all(line.endswith("; the next image takes its place") for line in told)
    for path in files.train.images.paths:
        open(path, "w").close()
    with pytest.raises(OSError, match=r"none of the images from .*/3\.png on can be read"):
        files.train.images[3]


# Shards


@pytest.mark.parametrize("augmentation", [None, EVERYTHING, MIXUP, CUTMIX])
@pytest.mark.parametrize("count", [2, 4])
def test_shards_together_are_the_whole_batch(dataset, augmentation, count):
    drop = count == 4  # the last batch has two samples
    settings = {"augmentation": augmentation, "drop_remainder": drop, "seed": 4}
    whole = make(dataset, **settings)
    shards = [make(dataset, shard=(i, count), **settings) for i in range(count)]
    for key in ((0, 0), (3, 5), (3, len(whole) - 1)):
        parts = [shard.batch(*key) for shard in shards]
        assert len({len(labels) for _, labels in parts}) == 1
        assert_same(concatenated(parts), whole.batch(*key))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ({"shard": (2, 2)}, r"shard: expected \(index, count\).* got \(2, 2\)"),
        ({"shard": (0, 3)}, "batch_size: batches of 8 samples, .*not make 3 equal parts"),
        ({"shard": (0, 4)}, "batch_size: .* the last of 2, .*4 equal parts.*drop_remainder=True"),
        ({"batch_size": 64, "drop_remainder": True}, "split: 50 samples make no batch of 64"),
    ],
)
def test_arguments_are_checked(dataset, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make(dataset, **arguments)


@pytest.mark.parametrize("index", [-1, 7])
def test_an_index_outside_the_epoch_is_an_error(dataset, index):
    with pytest.raises(IndexError, match=f"expected 0 to 6, got {index}"):
        make(dataset).batch(0, index)


# Threads and the rest of an epoch


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_change_nothing(dataset, workers):
    batches = make(dataset, workers=workers)
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        for index in (*range(7), 3, 5, 0):
            assert_same(batches[index], batches.batch(epoch, index))
    rest = batches.from_step(5, 4)
    assert len(rest) == 3
    for index in range(3):
        assert_same(rest[index], batches.batch(5, 4 + index))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the same under every backend")
def test_processes_change_nothing(dataset):
    batches = make(dataset, workers=2, use_multiprocessing=True)
    for index in range(6):
        assert_same(batches[index], batches.batch(0, index))
    for process in multiprocessing.active_children():
        process.kill()
    batches.set_epoch(1)
    with pytest.raises(RuntimeError, match=r"ended a process .* give fewer workers"):
        list(map(batches.__getitem__, range(7)))


def test_workers_prepare_what_comes_next_and_pass_errors_on(dataset):
    batches = make(dataset)
    prepared = {}

    def noted(epoch, index):
        prepared[epoch, index] = threading.current_thread()
        if index == 3:
            raise RuntimeError("bad batch")
        return Batches.batch(batches, epoch, index)

    batches.batch = noted
    batches[0]
    assert max(prepared) <= (0, 4)
    for index in (1, 2):
        batches[index]
    assert prepared[0, 0] is threading.main_thread()
    assert prepared[0, 1] is not threading.main_thread()
    with pytest.raises(RuntimeError, match="bad batch"):
        batches[3]


# Keras


def model_that_tells(data_format):
    """A model without weights, whose loss tells which images it saw with which labels."""

    def loss(labels, pixel):
        labels = keras.ops.reshape(keras.ops.cast(labels, "float32"), (-1,))
        return (labels + 1) * keras.ops.reshape(pixel, (-1,))

    inputs = keras.Input((8, 8, 3) if data_format == "channels_last" else (3, 8, 8))
    outputs = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x[:, :1] * 1.0)(outputs))
    model.compile(loss=loss)
    return model


def expected_loss(batches, epoch):
    total = 0.0
    for images, labels in (batches.batch(epoch, i) for i in range(len(batches))):
        total += float(np.sum((labels + 1) * images.reshape(len(images), -1)[:, 0]))
    return total / 50


@pytest.mark.parametrize(
    ("batch_size", "data_format", "workers", "validate"),
    [
        (8, "channels_last", 0, False),
        (8, "channels_last", 2, True),
        (8, "channels_first", 2, False),
        (50, "channels_last", 2, False),  # a single batch
    ],
)
def test_fit_sees_the_batches_of_each_epoch(
    dataset, batch_size, data_format, workers, validate, request
):
    if data_format == "channels_first":
        request.getfixturevalue(data_format)
    batches = make(dataset, batch_size=batch_size, workers=workers)
    validation = Batches(dataset.validation, dataset, batch_size=5, workers=workers)
    model = model_that_tells(data_format)
    options = {"verbose": 0, "shuffle": False}
    if validate:
        options["validation_data"] = validation
    epoch_losses = [expected_loss(batches, epoch) for epoch in range(8)]
    assert len(set(np.round(epoch_losses, 6))) == 8
    batches.set_epoch(3)
    found = model.fit(batches, epochs=4, **options).history
    np.testing.assert_allclose(found["loss"], epoch_losses[3:7], rtol=1e-4, atol=1e-5)
    if validate:
        assert len(set(found["val_loss"])) == 1
    # With a built model, it goes on where it was, and new batches begin at the first epoch.
    found = model.fit(batches, epochs=1, **options).history["loss"]
    np.testing.assert_allclose(found, epoch_losses[7:], rtol=1e-4)
    new = make(dataset, batch_size=batch_size, workers=workers)
    found = model.fit(new, epochs=2, **options).history["loss"]
    np.testing.assert_allclose(found, epoch_losses[:2], rtol=1e-4, atol=1e-5)


def test_shuffling_by_keras_is_refused(dataset):
    batches = make(dataset)
    # The TensorFlow backend wraps the error in one of its own.
    with pytest.raises(Exception, match=r"expected fit\(\.\.\., shuffle=False\)"):
        model_that_tells("channels_last").fit(batches, epochs=2, verbose=0)


# Sharing an evaluation


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("samples", "filled_up"), [(8, 8), (9, 12)])
def test_shares_leave_every_mean_as_it_is(dataset, samples, filled_up, processes):
    split = random_split(samples)
    whole = Batches(split, dataset, batch_size=4, workers=0)
    shares = [SharedEvaluation(whole, 4, (i, processes)) for i in range(processes)]
    own = [share[i] for share in shares for i in range(len(share))]
    assert all(len(images) * processes % 4 == 0 for images, *_ in own)
    assert sum(len(images) for images, *_ in own) == filled_up

    def value(images, labels):
        return images.mean((1, 2, 3)) + labels

    expected = np.concatenate([value(*batch) for batch in whole]).mean()
    weighted = sum((value(images, labels) * weights).sum() for images, labels, weights in own)
    # As Keras: a loss is divided by the samples, a weighted metric by the weights.
    np.testing.assert_allclose(weighted / filled_up, expected)
    np.testing.assert_allclose(weighted / sum(weights.sum() for *_, weights in own), expected)
