import hashlib
import threading

import keras
import numpy as np
import pytest

from keras_resnext.data import Augmentation, Batches, batches, normalise
from keras_resnext.data.mixing import Mixing
from tests.data.conftest import random_split

EVERYTHING = Augmentation(2, True, 15, policy="trivialaugment", erasing=0.5)


def make(dataset, **arguments):
    """Shuffled, augmented batches of 8: seven an epoch, the last of two."""
    settings = {"batch_size": 8, "shuffle": True, "augmentation": EVERYTHING} | arguments
    return Batches(dataset.train, dataset, **settings)


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_plain_batches_are_the_samples_in_order(dataset):
    batches = Batches(dataset.train, dataset, batch_size=8, data_format="channels_last")
    assert len(batches) == 7
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert images.dtype == np.float32
    assert labels.dtype == np.int32
    expected = normalise(
        dataset.train.images, dataset.preprocessing.mean, dataset.preprocessing.std
    )
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, dataset.train.labels)


def identities(batches, dataset):
    """Which sample each image of each batch is, for batches without augmentation."""
    known = normalise(dataset.train.images, dataset.preprocessing.mean, dataset.preprocessing.std)
    index = {image.tobytes(): i for i, image in enumerate(known)}
    return [
        index[np.ascontiguousarray(image).tobytes()] for images, _ in batches for image in images
    ]


def test_shuffling_shows_every_sample_once_in_a_new_order_each_epoch(dataset):
    batches = make(dataset, augmentation=None, data_format="channels_last")
    orders = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        orders.append(identities(batches, dataset))
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(map(tuple, orders))) == 3


def test_labels_stay_with_their_images(dataset):
    batches = make(dataset, augmentation=None, data_format="channels_last")
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, dataset.train.labels[identities(batches, dataset)])


def test_drop_remainder_leaves_only_whole_batches(dataset):
    batches = make(dataset, drop_remainder=True)
    assert [len(labels) for _, labels in batches] == [8] * 6


def test_data_formats_hold_the_same_values(dataset):
    last, first = (make(dataset, data_format=f"channels_{x}")[2][0] for x in ("last", "first"))
    assert first.shape == (8, 3, 8, 8)
    np.testing.assert_array_equal(first, last.transpose(0, 3, 1, 2))


def test_the_data_format_of_keras_is_the_default(dataset):
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        assert make(dataset)[0][0].shape == (8, 3, 8, 8)
    finally:
        keras.config.set_image_data_format(before)


def test_a_batch_is_a_pure_function_of_seed_epoch_and_index(dataset):
    settings = {"seed": 5, "mixing": Mixing(mixup=0.4, cutmix=1.0)}
    one = make(dataset, workers=0, **settings)
    two = make(dataset, first_epoch=9, **settings)
    keys = [(epoch, index) for epoch in (4, 0, 7) for index in (6, 0, 3)]
    expected = {key: one.batch(*key) for key in keys}
    for key in reversed(keys):
        assert_same(two.batch(*key), expected[key])
    distinct = {images.tobytes() for images, _ in expected.values()}
    assert len(distinct) == len(keys)
    other = make(dataset, **settings | {"seed": 6})
    assert not np.array_equal(other.batch(4, 6)[0], expected[4, 6][0])


@pytest.mark.parametrize(
    ("augmentation", "digest"),
    [
        (None, "cd3aa27b77d63951"),
        (Augmentation(2, True, padding_colour="mean"), "5ca8ad798a118242"),
        (Augmentation(2, True, padding_colour="black"), "8a788d14a87f7bf4"),
    ],
)
def test_batches_are_those_of_version_0_1(dataset, augmentation, digest):
    """Else a run begun with an older version would go on with other batches."""
    one = make(dataset, augmentation=augmentation, seed=3, data_format="channels_last")
    found = hashlib.sha256()
    for images, labels in (one.batch(0, 0), one.batch(2, 6)):
        found.update(images.tobytes() + labels.tobytes())
    assert found.hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("interpolation", "total"), [("bilinear", 895.6520), ("nearest", 1188.5887)]
)
def test_rotated_batches_are_those_of_version_0_1(dataset, interpolation, total):
    # Cosines differ in the last bit from machine to machine: no digest.
    augmentation = Augmentation(2, True, 15, interpolation=interpolation)
    images, _ = make(dataset, augmentation=augmentation, seed=3).batch(0, 0)
    assert np.abs(images).sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)


def test_one_hot_labels_are_the_classes(dataset):
    plain, one_hot = (make(dataset, one_hot=value).batch(1, 6) for value in (False, True))
    np.testing.assert_array_equal(one_hot[0], plain[0])
    assert one_hot[1].dtype == np.float32
    assert one_hot[1].shape == (2, 4)
    expected = [[float(label == c) for c in range(4)] for label in plain[1]]
    np.testing.assert_array_equal(one_hot[1], expected)


MIXINGS = [Mixing(mixup=0.4), Mixing(cutmix=1.0)]


@pytest.mark.parametrize("augmentation", [None, EVERYTHING])
def test_mixup_averages_the_batch_with_itself_rolled_by_one(dataset, augmentation):
    settings = {"augmentation": augmentation, "one_hot": True}
    for index in (0, 6):  # the last batch is smaller
        images, labels = make(dataset, **settings).batch(1, index)
        mixed_images, mixed_labels = make(dataset, mixing=MIXINGS[0], **settings).batch(1, index)
        # The weight is told by a sample whose neighbour has another label.
        i = next(i for i in range(len(labels)) if (labels[i] != labels[i - 1]).any())
        weight = mixed_labels[i, labels[i].argmax()]
        for mixed, own in ((mixed_images, images), (mixed_labels, labels)):
            expected = weight * own + (1 - weight) * np.roll(own, 1, axis=0)
            np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_cutmix_pastes_a_rectangle_of_the_neighbour_and_weighs_by_it(dataset):
    settings = {"one_hot": True, "data_format": "channels_last", "augmentation": None}
    shares = set()
    for index in range(7):
        images, labels = make(dataset, **settings).batch(1, index)
        mixed_images, mixed_labels = make(dataset, mixing=MIXINGS[1], **settings).batch(1, index)
        neighbours = np.roll(images, 1, axis=0)
        pasted = (mixed_images != images).any(axis=(0, 3))
        expected = np.where(pasted[None, :, :, None], neighbours, images)
        np.testing.assert_array_equal(mixed_images, expected)
        rows, columns = pasted.any(axis=1).sum(), pasted.any(axis=0).sum()
        assert pasted.sum() == rows * columns
        share = pasted.mean()
        expected = (1 - share) * labels + share * np.roll(labels, 1, axis=0)
        np.testing.assert_allclose(mixed_labels, expected, atol=1e-6)
        shares.add(float(share))
    assert len(shares) > 3


@pytest.mark.parametrize("mixing", [None, *MIXINGS])
@pytest.mark.parametrize("augmentation", [None, EVERYTHING])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_shards_together_are_the_whole_batch(dataset, mixing, augmentation, count):
    settings = {"mixing": mixing, "augmentation": augmentation, "drop_remainder": True, "seed": 4}
    whole = make(dataset, **settings)
    shards = [make(dataset, shard=(i, count), **settings) for i in range(count)]
    for key in ((0, 0), (3, 5)):
        parts = [shard.batch(*key) for shard in shards]
        assert all(len(labels) == 8 // count for _, labels in parts)
        assert_same([np.concatenate(part) for part in zip(*parts, strict=True)], whole.batch(*key))


def test_a_smaller_last_batch_is_shared_equally_too(dataset):
    whole = make(dataset, mixing=MIXINGS[0]).batch(0, 6)
    parts = [make(dataset, mixing=MIXINGS[0], shard=(i, 2)).batch(0, 6) for i in (0, 1)]
    assert_same([np.concatenate(part) for part in zip(*parts, strict=True)], whole)


@pytest.mark.parametrize(("mixing", "worked_on"), [(None, 2), (MIXINGS[0], 3)])
def test_a_shard_works_on_its_own_images_only(dataset, monkeypatch, mixing, worked_on):
    seen = []

    def noted(images, *rest):
        seen.append(len(images))
        return augment(images, *rest)

    augment = batches.augment
    monkeypatch.setattr(batches, "augment", noted)
    make(dataset, shard=(1, 4), drop_remainder=True, mixing=mixing).batch(0, 0)
    assert seen == [worked_on]


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_a_shard_that_is_none_is_an_error(dataset, shard):
    with pytest.raises(ValueError, match=r"^shard: expected \(index, count\).* got \("):
        make(dataset, shard=shard)


def test_batches_that_make_no_equal_parts_are_an_error(dataset):
    with pytest.raises(ValueError, match=r"^batch_size: 8 samples.* choose a .* that 3 divides$"):
        make(dataset, shard=(0, 3))
    with pytest.raises(ValueError, match=r"last batch has 2 samples.*, or drop_remainder=True$"):
        make(dataset, shard=(0, 4))


def test_a_run_resumed_at_an_epoch_sees_its_batches(dataset):
    through, resumed = make(dataset), make(dataset, first_epoch=2)
    through.set_epoch(2)
    for a, b in zip(through, resumed, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_nothing(dataset, workers):
    batches = make(dataset, workers=workers)
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        for index in (*range(7), 3, 5, 0):
            assert_same(batches[index], batches.batch(epoch, index))


def test_workers_prepare_what_comes_next(dataset):
    batches = make(dataset, prefetch=2)
    prepared = {}
    batch = batches.batch

    def noted(epoch, index):
        prepared[epoch, index] = threading.current_thread()
        return batch(epoch, index)

    batches.batch = noted
    batches[0]
    batches[1]
    assert prepared[0, 0] is threading.main_thread()
    assert prepared[0, 1] is not threading.main_thread()
    assert max(prepared) <= (0, 3)


def test_an_error_in_a_worker_reaches_the_caller(dataset):
    batches = make(dataset)

    def fail(epoch, index):
        if index == 1:
            raise RuntimeError("bad batch")
        return Batches.batch(batches, epoch, index)

    batches.batch = fail
    batches[0]
    with pytest.raises(RuntimeError, match="bad batch"):
        batches[1]


def label_times_pixel(labels, pixel):
    labels = keras.ops.reshape(keras.ops.cast(labels, "float32"), (-1,))
    return (labels + 1) * keras.ops.reshape(pixel, (-1,))


def model_that_tells(data_format):
    """A model without weights, whose loss tells which images it saw with which labels."""
    inputs = keras.Input((8, 8, 3) if data_format == "channels_last" else (3, 8, 8))
    outputs = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x[:, :1] * 1.0)(outputs))
    model.compile(loss=label_times_pixel)
    return model


def expected_loss(batches, epoch, data_format):
    total = 0.0
    for images, labels in (batches.batch(epoch, i) for i in range(len(batches))):
        total += float(np.sum((labels + 1) * images.reshape(len(images), -1)[:, 0]))
    return total / 50


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("validate", [False, True])
def test_fit_sees_the_batches_of_each_epoch(dataset, data_format, workers, validate):
    settings = {"data_format": data_format, "workers": workers}
    batches = make(dataset, first_epoch=3, **settings)
    validation = Batches(dataset.validation, dataset, batch_size=5, **settings)
    model = model_that_tells(data_format)
    found = model.fit(
        batches,
        epochs=4,
        verbose=0,
        shuffle=False,
        validation_data=validation if validate else None,
    ).history
    expected = [expected_loss(batches, epoch, data_format) for epoch in (3, 4, 5, 6)]
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-4, atol=1e-5)
    assert len(set(np.round(expected, 6))) == 4
    if validate:
        assert len(set(found["val_loss"])) == 1
    assert batches.epoch == 7
    # Once more, with a built model: it goes on where it was.
    found = model.fit(batches, epochs=1, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(found, [expected_loss(batches, 7, data_format)], rtol=1e-4)


@pytest.mark.parametrize("built", [False, True])
def test_the_first_epoch_is_counted_right_for_a_single_batch(dataset, built):
    batches = make(dataset, batch_size=50, data_format="channels_last")
    model = model_that_tells("channels_last")
    if built:
        model.evaluate(make(dataset, data_format="channels_last"), verbose=0)
    found = model.fit(batches, epochs=3, verbose=0).history["loss"]
    expected = [expected_loss(batches, epoch, "channels_last") for epoch in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_shuffling_by_keras_is_refused(dataset, workers):
    batches = make(dataset, workers=workers, data_format="channels_last")
    # The TensorFlow backend wraps the error in one of its own.
    with pytest.raises(Exception, match=r"expected fit\(\.\.\., shuffle=False\)"):
        model_that_tells("channels_last").fit(batches, epochs=2, verbose=0)


def test_predict_gives_one_answer_a_sample_in_order(dataset):
    batches = Batches(dataset.train, dataset, batch_size=8, data_format="channels_last")
    images = normalise(dataset.train.images, dataset.preprocessing.mean, dataset.preprocessing.std)
    found = model_that_tells("channels_last").predict(batches, verbose=0)
    np.testing.assert_allclose(found[:, 0], images[:, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("seed", -1),
        ("first_epoch", -1),
        ("workers", -1),
        ("prefetch", 0),
        ("data_format", "NCHW"),
    ],
)
def test_arguments_are_checked(dataset, name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected .* got {value!r}$"):
        make(dataset, **{name: value})


def test_no_batch_at_all_is_an_error(dataset):
    with pytest.raises(ValueError, match=r"50 samples make no batch of 64; .*drop_remainder"):
        make(dataset, batch_size=64, drop_remainder=True)
    with pytest.raises(ValueError, match=r"^split: 0 samples"):
        Batches(random_split(0), dataset, batch_size=1)


@pytest.mark.parametrize("index", [-1, 7])
def test_an_index_outside_the_epoch_is_an_error(dataset, index):
    with pytest.raises(IndexError, match=f"expected 0 to 6, got {index}"):
        make(dataset).batch(0, index)
