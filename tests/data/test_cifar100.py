import tarfile

import numpy as np
import pytest

from keras_resnext.data import DatasetError, cifar100, load
from keras_resnext.preprocessing import fitted
from tests.data.conftest import write_binary


@pytest.fixture(scope="module")
def cifar(cifar_folder):
    return load("cifar100", cifar_folder)


@pytest.fixture(scope="module")
def binary(raw, tmp_path_factory):
    return write_binary(raw, tmp_path_factory.mktemp("binary") / "cifar-100-binary")


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def digests(split):
    return {image.tobytes() for image in split.images}


def assert_same(first, second):
    assert first.class_names == second.class_names
    assert first.superclass_names == second.superclass_names
    for a, b in zip(parts(first), parts(second), strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.superclass_labels, b.superclass_labels)


def test_the_split_is_stratified(cifar):
    for part, each in zip(parts(cifar), (450, 50, 100), strict=True):
        assert np.bincount(part.labels).tolist() == [each] * 100
        assert np.bincount(part.superclass_labels).tolist() == [5 * each] * 20
    assert cifar.num_classes == 100
    assert cifar.input_shape == (32, 32, 3)
    assert cifar.preprocessing == fitted(32, (129.3, 124.1, 112.4), (68.2, 65.4, 70.4))


def test_no_image_is_in_both_training_and_validation(cifar, raw):
    assert not digests(cifar.train) & digests(cifar.validation)
    assert digests(cifar.train) | digests(cifar.validation) == digests(raw.train)


def test_the_copies_that_the_documentation_tells_of(cifar, raw):
    assert len(digests(cifar.train)) == 45_000 - 14
    assert len(digests(cifar.test)) == 10_000 - 2
    assert len(digests(cifar.test) & digests(raw.train)) == 10


def test_labels_stay_with_their_images(cifar, raw):
    labels = {
        (image.tobytes(), label, coarse)
        for image, label, coarse in zip(
            raw.train.images,
            raw.train.labels.tolist(),
            raw.train.superclass_labels.tolist(),
            strict=True,
        )
    }
    sample = cifar.train.take(np.arange(0, 45_000, 1000))
    for image, label, coarse in zip(
        sample.images, sample.labels.tolist(), sample.superclass_labels.tolist(), strict=True
    ):
        assert (image.tobytes(), label, coarse) in labels


def test_the_packed_archive_gives_the_same(cifar, cifar_folder):
    assert_same(cifar, load("cifar100", cifar_folder / "cifar-100-python.tar.gz"))


def test_the_binary_archive_gives_the_same(cifar, binary, tmp_path):
    archive = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w") as tar:
        tar.add(binary, "cifar-100-binary")
    assert_same(cifar, load("cifar100", tmp_path))


def test_tensorflow_datasets_would_give_the_same(cifar, raw, monkeypatch):
    order = np.random.default_rng(0).permutation(50_000)
    shuffled = type(raw)(raw.train.take(order), raw.test, raw.class_names, raw.superclass_names)
    monkeypatch.setattr(cifar100, "read_tfds", lambda: shuffled)
    assert_same(cifar, load("cifar100"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("train.bin", "training images"),
        ("test.bin", "test images"),
        ("fine_label_names.txt", "names"),
    ],
)
def test_one_changed_byte_is_found(binary, tmp_path, name, what):
    for file in binary.iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    content = bytearray((binary / name).read_bytes())
    content[3] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"the {what} from .* are not those of CIFAR-100"):
        load("cifar100", tmp_path)
