import os
import shutil

import numpy as np
import pytest

from keras_resnext.data import DatasetError, find_images
from keras_resnext.data.image_folder import load_image_folder
from keras_resnext.preprocessing import whole_image
from tests.data.conftest import ONCE, numbers, parts, plain, write_classes

pytestmark = ONCE
FOUR = whole_image(4)
EVERY_VERSION = [[9, 8, 16], [0, 18, 0]]


def load(folder):
    return load_image_folder(folder, FOUR)


# Classes and split


def test_a_folder_of_classes_becomes_a_data_set(tmp_path):
    write_classes(tmp_path, {"zebra": 3, "ant": 14, "Bee": 26})
    dataset = load(tmp_path)
    assert dataset.name == "folder"
    assert dataset.class_names == dataset.superclass_names == ("Bee", "ant", "zebra")
    assert dataset.input_shape == (4, 4, 3)
    assert dataset.preprocessing == FOUR
    for part, counts in zip(parts(dataset), ([20, 12, 1], [3, 1, 1], [3, 1, 1]), strict=True):
        assert np.bincount(part.labels).tolist() == counts
        np.testing.assert_array_equal(part.labels, part.superclass_labels)
        expected = [2 if number < 3 else 1 if number < 17 else 0 for number in numbers(part)]
        assert part.labels.tolist() == expected
    assert sorted(number for part in parts(dataset) for number in numbers(part)) == [*range(43)]


def test_the_split_is_that_of_every_version(tmp_path):
    """By the bytes of files, which this writes itself: a format without compression."""
    for name, count in {"cat": 20, "dog": 10}.items():
        (tmp_path / name).mkdir()
        for i in range(count):
            header = b"BM" + bytes([58, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40]) + bytes(3)
            header += bytes([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 24]) + bytes(25)
            (tmp_path / name / f"{i}").write_bytes(header + bytes([i, 7, count, 0]))
    dataset = load(tmp_path)
    found = [part.images[:][:, 0, 0, 2].tolist() for part in parts(dataset)[1:]]
    assert found == EVERY_VERSION


def test_neither_names_nor_size_decide_the_split(tmp_path):
    write_classes(tmp_path / "a", {"cat": 15, "dog": 25})
    for old, new in (("cat", "panther"), ("dog", "hound")):
        (tmp_path / "b" / new).mkdir(parents=True)
        for path in (tmp_path / "a" / old).iterdir():
            shutil.copy(path, tmp_path / "b" / new / path.stem[::-1])
    write_classes(tmp_path / "b", {"bird": 3}, first=100)
    first, second = load(tmp_path / "a"), load_image_folder(tmp_path / "b", whole_image(9))
    for a, b in zip(parts(first), parts(second), strict=True):
        assert numbers(a) == [number for number in numbers(b) if number < 100]
        assert numbers(a) != sorted(numbers(a)) or len(a) < 9


def test_copies_are_trained_on_and_never_held_out(tmp_path):
    write_classes(tmp_path, {"cat": 12, "dog": 12})
    for number in range(9):
        shutil.copy(tmp_path / "cat" / f"{number}.png", tmp_path / "dog" / f"{number}.png")
    dataset = load(tmp_path)
    held_out = numbers(dataset.validation) + numbers(dataset.test)
    assert len(held_out) == 4
    assert min(held_out) >= 9
    assert sorted(numbers(dataset.train))[:18] == sorted(2 * list(range(9)))


@pytest.mark.parametrize(
    "names", ["train validation test", "train val test", "Train valid Testing"]
)
def test_parts_that_are_given_are_kept(tmp_path, names):
    first = 0
    for part, counts in zip(names.split(), ((4, 2), (1, 3), (2, 1)), strict=True):
        counts = dict(zip(("cat", "dog"), counts, strict=True))
        first = write_classes(tmp_path / part, counts, first)
    found = [sorted(numbers(part)) for part in parts(load(tmp_path))]
    assert found == [list(range(6)), list(range(6, 10)), list(range(10, 13))]


@pytest.mark.parametrize("given", ["validation", "test"])
def test_a_part_that_is_missing_is_held_out(tmp_path, given):
    first = write_classes(tmp_path / "train", {"cat": 20, "dog": 2})
    write_classes(tmp_path / given, {"cat": 1, "dog": 1}, first)
    dataset = load(tmp_path)
    other = {"validation": "test", "test": "validation"}[given]
    assert np.bincount(getattr(dataset, other).labels).tolist() == [2, 1]
    assert np.bincount(dataset.train.labels).tolist() == [18, 1]
    assert sorted(numbers(getattr(dataset, given))) == [22, 23]


def test_train_may_be_a_class_and_classes_may_be_links(tmp_path):
    write_classes(tmp_path / "elsewhere", {"train": 3, "bus": 3, "tram": 3})
    (tmp_path / "here").mkdir()
    for name in ("train", "bus", "tram"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere" / name)
    assert load(tmp_path / "here").class_names == ("bus", "train", "tram")


@pytest.mark.parametrize("inside", ["", "train"])
def test_a_folder_around_the_one_that_is_meant_is_passed_over(tmp_path, inside):
    write_classes(tmp_path / "pets" / "pets" / inside, {"cat": 3, "dog": 3})
    write_classes(tmp_path, {"__MACOSX/pets": 1}, first=9)
    assert load(tmp_path).class_names == ("cat", "dog")


# What is left out


@pytest.mark.parametrize("root", ["", "train"])
def test_what_systems_and_programs_leave_behind_is_no_class(tmp_path, capsys, root):
    write_classes(tmp_path / root, {"cat": 4, "dog": 4})
    junk = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", ".ipynb_checkpoints", "System Volume Information")
    for folder in (tmp_path, tmp_path / root, tmp_path / root / "cat"):
        write_classes(folder, dict.fromkeys(junk, 1), first=100)
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt", "._0.png"):
            (folder / name).write_text("no image")
    dataset = load(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert max(numbers(dataset.train)) < 100
    assert not capsys.readouterr().out


def test_what_cannot_be_used_is_left_out_and_reported(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    dog = tmp_path / "dog"
    plain(9, 64).save(dog / "1 cut.jpg")
    (dog / "1 cut.jpg").write_bytes((dog / "1 cut.jpg").read_bytes()[:40])
    (dog / "2 text.JPG").write_text("no image")
    (dog / "3 link.png").symlink_to(tmp_path / "nowhere")
    (dog / "4 한국.png").write_text("no image")
    os.mkfifo(dog / "5.jpg")
    (dog / "6 deeper").mkdir()
    (dog / "7.heic").write_bytes(bytes(4) + b"ftypheic" + bytes(20))
    plain(99).save(tmp_path / "8 loose.png")
    assert sum(len(part) for part in parts(load(tmp_path))) == 6
    expected = (
        f"Left out of {tmp_path}: 8 files",
        "  '8 loose.png': in no folder of a class",
        "  'dog/1 cut.jpg': Truncated File Read",
        "  'dog/2 text.JPG': no JPEG, PNG, WebP, GIF, BMP, PPM, TIFF, AVIF or HEIC image",
        "  'dog/3 link.png': no such file",
        "  'dog/4 한국.png': no JPEG",
        "  and 3 more",
    )
    for line, start in zip(capsys.readouterr().out.splitlines(), expected, strict=True):
        assert line.startswith(start)


# Errors


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "holds 0 folders of classes.* expected 2 or more, FOLDER/CLASS/IMAGE"),
        ({"cat": 3}, "holds 1 folders of classes, 'cat'; expected 2 or more"),
        ({"cat": 3, "dog": 2}, r"too few images of \('dog', 2\); expected 3 or more"),
        (
            {"train/cat": 3, "train/dog": 1, "test/cat": 1, "test/dog": 1},
            r"\('dog', 1\).* 2 or more",
        ),
        ({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 0}, r"test has .*\('dog', 0"),
        ({"train/a": 3, "train/b": 3, "val/a": 3}, "different classes: 'b' in one of them only"),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "Valid/a": 1}, "Valid/ and val/"),
        ({"train": 3, "test": 3}, "train holds 0 folders of classes"),
        ({"caf\udce9": 3, "c": 3}, r"class name 'caf\\udce9' must be .*; rename it"),
        (None, "does not exist or is no folder; expected"),
    ],
)
def test_another_layout_is_refused(tmp_path, layout, message):
    folder = tmp_path / "images"
    if layout is not None:
        folder.mkdir()
        write_classes(folder, layout)
    with pytest.raises(DatasetError, match=f"^data_dir: .*{message}"):
        load(folder)


def test_neither_damaged_files_nor_copies_count(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 4})
    path = tmp_path / "dog" / "4.png"
    path.write_bytes(path.read_bytes()[:20])
    shutil.copy(tmp_path / "dog" / "5.png", tmp_path / "dog" / "copy.png")
    with pytest.raises(DatasetError, match=r"\('dog', 2\); expected 3 or more .*, copies not coun"):
        load(tmp_path)
    assert "'dog/4.png': " in capsys.readouterr().out, "it is said before the error"


# Images that a user names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    names = ("b.png", "a.JPG", "notes.txt", ".hidden.png", "in/c.webp", ".trash/d.png")
    for name in (*names, "__MACOSX/b.png", "x[1].bmp", "empty/.keep"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["."], ["a.JPG", "b.png", "in/c.webp", "x[1].bmp"]),
        (["notes.txt", ".hidden.png"], ["notes.txt", ".hidden.png"]),
        (["in/*", "*.[pt]*"], ["in/c.webp", "b.png", "notes.txt"]),
        (["**/*.webp", "x[1].bmp"], ["in/c.webp", "x[1].bmp"]),
        (["b.png", "in", "b*"], ["b.png", "in/c.webp"]),
    ],
)
def test_images_are_found_once_in_the_order_of_names(folder, names, expected):
    assert [str(path) for path in find_images(names)] == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "expected a file, folder or pattern, got none"),
        (("b.png", ""), "expected a file, folder or pattern, got none"),
        (("b.png", "missing.png"), "expected a file by the name missing.png, found none"),
        (("~nobody/b.png",), "expected a file by the name ~nobody/b.png, found none"),
        (("*.gif",), r"expected a file by the name \*\.gif"),
        (("empty",), r"expected an image \(\.jpg, .*\) by the name empty, found none"),
        (
            ("https://example.org/a.png",),
            "expected a file, got the URL https://example.org/a.png",
        ),
    ],
)
def test_names_of_nothing_are_refused(folder, names, message):
    with pytest.raises(ValueError, match=f"^images: {message}"):
        find_images(names)
