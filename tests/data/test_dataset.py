from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_resnext.data import DatasetError, load_dataset, safe_name, write_examples
from keras_resnext.data.dataset import check_class_names, sort_by_content
from keras_resnext.preprocessing import whole_image
from tests.data.conftest import random_split


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("images", lambda x: x.astype(np.float32)),
        ("images", lambda x: x.transpose(0, 3, 1, 2)),
        ("labels", lambda x: x.astype(np.int64)),
        ("labels", lambda x: x[:-1]),
        ("superclass_labels", lambda x: x[:, None]),
    ],
)
def test_a_malformed_array_is_named(field, change):
    split = random_split(6)
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        replace(split, **{field: change(getattr(split, field))})


# Order and split by content


def test_the_order_does_not_depend_on_the_order_given():
    split = random_split(40)
    split.images[5] = split.images[0]  # under another label
    split.images[6] = split.images[2]  # under the same
    order = np.random.default_rng(1).permutation(40)
    (first, first_keys), (second, second_keys) = map(sort_by_content, (split, split.take(order)))
    assert first_keys == second_keys
    for name in ("images", "labels", "superclass_labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


# Names


@pytest.mark.parametrize(
    "name", ["two\nlines", "bell\a", "\x85", "a\u2028b", "caf\udce9", " ", 201 * "x"]
)
def test_names_that_would_break_files_and_tables_are_refused(name):
    with pytest.raises(DatasetError, match=r"^class_names: the class name .* must be"):
        check_class_names(("cat", name))


def test_other_names_are_names():
    check_class_names((r"$\badmacro$", "한국어", "a b", "a_b", "<b>", "-x", "نمی‌خواهم", 200 * "x"))


def test_a_data_set_has_each_name_once(dataset):
    with pytest.raises(ValueError, match="got 'a' again"):
        replace(dataset, class_names=("a", "b", "a", "c"))


def test_file_names_are_safe_and_one_per_class():
    names = ("cat", "a b", "a_b", "a/b", r"$\x$", "한국어", 250 * "x", 249 * "x", "..", "CON.png")
    found = [safe_name(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[0] == "cat"
    assert found[5] == "한국어"
    assert all(len(name) < 60 and not set(name) & set("/\\.$ ") for name in found)


def test_examples_are_the_first_test_images(dataset, tmp_path):
    write_examples(tmp_path, replace(dataset, class_names=("a b", "a_b", "c", "d")), most=3)
    found = sorted(path.name for path in (tmp_path / "examples").iterdir())
    assert found == sorted(f"{safe_name(name)}.png" for name in ("a b", "a_b", "c"))
    image = np.asarray(Image.open(tmp_path / "examples" / "c.png"))
    np.testing.assert_array_equal(image, dataset.test.images[2])


# load_dataset


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar10",), "dataset: expected one of cifar100, demo, folder, imagenet, got 'cifar10'"),
        (("demo", "x"), "data_dir: 'demo' is synthetic and reads none, got 'x'"),
        (("folder",), "data_dir: 'folder' reads image files"),
        (("imagenet", "x"), "preprocessing: expected how to resize, whole_image"),
        (("cifar100", None, whole_image(8)), "preprocessing: 'cifar100' has its own"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        load_dataset(*arguments)
