import threading

import keras
import numpy as np
import pytest

from keras_resnext.data import Augmentation, Batches, normalise
from tests.data.conftest import random_split

EVERYTHING = Augmentation(crop_padding=2, flip=True, rotation_degrees=15)


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
    expected = normalise(dataset.train.images, dataset.mean, dataset.std)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, dataset.train.labels)


def identities(batches, dataset):
    """Which sample each image of each batch is, for batches without augmentation."""
    known = normalise(dataset.train.images, dataset.mean, dataset.std)
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
    one, two = make(dataset, seed=5, workers=0), make(dataset, seed=5, first_epoch=9)
    keys = [(epoch, index) for epoch in (4, 0, 7) for index in (6, 0, 3)]
    expected = {key: one.batch(*key) for key in keys}
    for key in reversed(keys):
        assert_same(two.batch(*key), expected[key])
    distinct = {images.tobytes() for images, _ in expected.values()}
    assert len(distinct) == len(keys)
    assert not np.array_equal(make(dataset, seed=6).batch(4, 6)[0], expected[4, 6][0])


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
    images = normalise(dataset.train.images, dataset.mean, dataset.std)
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
