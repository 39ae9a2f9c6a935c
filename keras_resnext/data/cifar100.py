"""CIFAR-100 from any of its sources, always in the same order with the same split."""

import hashlib
import os

from keras_resnext.data.archive import WEBSITE
from keras_resnext.data.canonical import digest, sort_by_content, stratified_holdout
from keras_resnext.data.dataset import Dataset, DatasetError
from keras_resnext.data.official import read_official
from keras_resnext.data.tfds_source import read_tfds
from keras_resnext.preprocessing import RGB, fitted

SIZE = 32
MEAN: RGB = (129.3, 124.1, 112.4)
STD: RGB = (68.2, 65.4, 70.4)
VALIDATION_PER_CLASS = 50
SPLIT_SEED = 0

# Of the samples and names in the official python files, by `digest` and `names_digest`.
CONTENT_SHA256 = {
    "training images": "8b78534c169ba647a334bdc556b42932a7b2219d3bc58bf9528d8473fa89acfd",
    "test images": "076b77083eb03377c71c2e7726a5fd876b327ebe4a6290709d39dcc3c9a2789c",
    "names": "7f2db07db725d79f93555bfe97a424360a2c80ba4792e4b5b26e20eedd9bd8c5",
}


def load_cifar100(data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images, 32x32.

    Images are sorted by their content and checked against the SHA-256 of the official set, so that
    split and batches are the same whatever the source. The validation part is 50 training images a
    class, chosen once by a fixed seed that has nothing to do with the seed of training.

    The official training set holds 14 images twice, 9 of them under two different labels; none is
    in the validation part, so no image is both trained and validated on. The test set holds 2
    twice, and 10 of its images are training images too: left as they are, since published
    accuracies include them.

    Args:
        data_dir: an official archive (python or binary), its unpacked folder, or the folder it
            lies in; None: by TensorFlow Datasets.

    Returns:
        The data set; mean and standard deviation are those of the ResNeXt authors' code.

    Raises:
        DatasetError: the data is not there, damaged, incomplete or of another data set.
        ImportError: TensorFlow Datasets or what it needs is not installed.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, 2009).
    """
    raw = read_tfds() if data_dir is None else read_official(data_dir)
    training, training_keys = sort_by_content(raw.train)
    test, test_keys = sort_by_content(raw.test)
    found = {
        "training images": digest(training_keys),
        "test images": digest(test_keys),
        "names": names_digest(raw.class_names, raw.superclass_names),
    }
    for what, expected in CONTENT_SHA256.items():
        if found[what] != expected:
            source = "TensorFlow Datasets" if data_dir is None else os.fspath(data_dir)
            raise DatasetError(
                f"data_dir: the {what} from {source} are not those of CIFAR-100 (SHA-256 of the "
                f"content {found[what]}, expected {expected}): damaged, or changed. Get the "
                f"official archive from {WEBSITE} and pass it as data_dir."
            )
    train, validation = stratified_holdout(
        training, training_keys, VALIDATION_PER_CLASS, SPLIT_SEED
    )
    return Dataset(
        name="cifar100",
        train=train,
        validation=validation,
        test=test,
        class_names=raw.class_names,
        superclass_names=raw.superclass_names,
        preprocessing=fitted(SIZE, MEAN, STD),
    )


def names_digest(class_names: tuple[str, ...], superclass_names: tuple[str, ...]) -> str:
    """Hash the names in their order: SHA-256, in hexadecimal."""
    return hashlib.sha256("\n".join((*class_names, "", *superclass_names)).encode()).hexdigest()
