import os
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_resnext.data import DatasetError
from keras_resnext.data.decoding import decode, fingerprints
from keras_resnext.data.image_folder import load_image_folder
from keras_resnext.preprocessing import fitted

SIZE = 8


def noise(height=SIZE, width=SIZE, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def plain(number):
    """An image of one colour, which tells its number at any size."""
    return Image.new("RGB", (SIZE, SIZE), (number // 256, number % 256, 7))


def write_classes(folder, counts, first=0):
    """Write so many numbered images of each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            plain(number).save(folder / name / f"{number}.png")
        first += count
    return first


def numbers(split):
    return [int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]) for image in split.images]


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def decoded(path, size=SIZE):
    images, unreadable = decode([path], fitted(size))
    assert not unreadable
    return images[0]


def same_file(image, path, **options):
    image.save(path, **options)
    return decoded(path)


# Decoding


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "gif", "jpg"])
def test_formats_are_read(tmp_path, suffix):
    image = Image.new("RGB", (SIZE, SIZE), (200, 30, 60))
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
    result = same_file(image, tmp_path / f"x.{suffix}", **options)
    np.testing.assert_allclose(result, np.asarray(image), atol=2 if suffix == "jpg" else 0)


def test_a_name_need_not_tell_the_format(tmp_path):
    plain(5).save(tmp_path / "x", format="PNG")
    np.testing.assert_array_equal(decoded(tmp_path / "x"), np.asarray(plain(5)))


def test_grey_becomes_rgb(tmp_path):
    pixels = noise(channels=1)
    result = same_file(Image.fromarray(pixels), tmp_path / "x.png")
    np.testing.assert_array_equal(result, np.stack([pixels] * 3, axis=-1))


def test_one_bit_becomes_black_and_white(tmp_path):
    pixels = noise(channels=1) > 127
    result = same_file(Image.fromarray(pixels), tmp_path / "x.png")
    np.testing.assert_array_equal(result, np.stack([pixels * 255] * 3, axis=-1))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bits_the_high_byte_counts(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE)).astype(np.uint16)
    result = same_file(Image.fromarray(pixels), tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(result, np.stack([pixels // 256] * 3, axis=-1))


def test_cmyk_becomes_rgb(tmp_path):
    pixels = noise(channels=4)
    result = same_file(Image.fromarray(pixels, "CMYK"), tmp_path / "x.tif")
    ink = pixels / 255
    np.testing.assert_allclose(result, 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:]), atol=1)


@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_transparent_shows_white(tmp_path, channels):
    pixels = noise(channels=channels)
    result = same_file(Image.fromarray(pixels), tmp_path / "x.png")
    opacity = pixels[..., -1:] / 255
    expected = pixels[..., :-1] * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(result, np.broadcast_to(expected, result.shape), atol=1)


def test_a_transparent_colour_of_a_palette_shows_white(tmp_path):
    index = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE) % 4
    palette = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [9, 8, 7]], np.uint8)
    image = Image.fromarray(index).convert("L")
    image.putpalette(palette.tobytes())
    opaque = same_file(image, tmp_path / "x.png")
    np.testing.assert_array_equal(opaque, palette[index])
    holed = same_file(image, tmp_path / "y.png", transparency=2)
    palette[2] = 255
    np.testing.assert_array_equal(holed, palette[index])


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("red", "blue")]
    result = same_file(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (result == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied_once(tmp_path, suffix, orientation, upright):
    pixels = noise(height=3 * SIZE, width=SIZE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    result = same_file(Image.fromarray(pixels), tmp_path / f"x.{suffix}", exif=exif, **options)
    np.testing.assert_array_equal(result, upright(pixels[SIZE : 2 * SIZE]))


def test_what_cannot_be_read_leaves_no_gap(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        plain(number).save(path)
    paths[1].write_bytes(paths[1].read_bytes()[:45])
    images, unreadable = decode(paths, fitted(SIZE))
    assert list(unreadable) == [paths[1]]
    assert images[:, 0, 0, 1].tolist() == [0, 2, 3]


def test_fingerprints_are_of_the_bytes_of_images_only(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "c.png", "d.png")]
    plain(1).save(paths[0])
    paths[1].write_text("no image")
    shutil.copy(paths[0], paths[2])
    plain(2).save(paths[3])
    a, b, c, d = fingerprints(paths)
    assert a == c != d
    assert len(a) == 32
    assert b.reason.startswith("no JPEG")


# The folder


def test_a_folder_of_classes_becomes_a_data_set(tmp_path):
    write_classes(tmp_path, {"zebra": 3, "ant": 14, "Bee": 26})
    dataset = load_image_folder(tmp_path, fitted(4))
    assert dataset.name == "folder"
    assert dataset.class_names == dataset.superclass_names == ("Bee", "ant", "zebra")
    assert dataset.input_shape == (4, 4, 3)
    assert dataset.preprocessing == fitted(4)
    for part, counts in zip(parts(dataset), ([20, 12, 1], [3, 1, 1], [3, 1, 1]), strict=True):
        assert np.bincount(part.labels).tolist() == counts
        np.testing.assert_array_equal(part.labels, part.superclass_labels)
        expected = [2 if number < 3 else 1 if number < 17 else 0 for number in numbers(part)]
        assert part.labels.tolist() == expected
    assert sorted(number for part in parts(dataset) for number in numbers(part)) == [*range(43)]


def test_neither_names_nor_size_decide_the_split(tmp_path):
    write_classes(tmp_path / "a", {"cat": 15, "dog": 25})
    for old, new in (("cat", "panther"), ("dog", "hound")):
        (tmp_path / "b" / new).mkdir(parents=True)
        for path in (tmp_path / "a" / old).iterdir():
            shutil.copy(path, tmp_path / "b" / new / path.stem[::-1])
    write_classes(tmp_path / "b", {"bird": 3}, first=100)
    first = load_image_folder(tmp_path / "a", fitted(4))
    second = load_image_folder(tmp_path / "b", fitted(9))
    for a, b in zip(parts(first), parts(second), strict=True):
        assert numbers(a) == [number for number in numbers(b) if number < 100]


def test_the_order_is_that_of_the_content(tmp_path):
    write_classes(tmp_path, {"cat": 30, "dog": 30})
    order = numbers(load_image_folder(tmp_path, fitted(4)).train)
    assert order != sorted(order)
    digests = fingerprints([next(tmp_path.glob(f"*/{number}.png")) for number in order])
    assert digests == sorted(digests)


def test_copies_are_trained_on_and_never_held_out(tmp_path):
    write_classes(tmp_path, {"cat": 12, "dog": 12})
    for number in range(9):
        shutil.copy(tmp_path / "cat" / f"{number}.png", tmp_path / "dog" / f"{number}.png")
    dataset = load_image_folder(tmp_path, fitted(4))
    held_out = numbers(dataset.validation) + numbers(dataset.test)
    assert len(held_out) == 4
    assert min(held_out) >= 9
    assert sorted(numbers(dataset.train))[:18] == sorted(2 * list(range(9)))


@pytest.mark.parametrize("name", ["validation", "val"])
def test_parts_that_are_given_are_kept(tmp_path, name):
    first = 0
    for part, counts in (("train", (4, 2)), (name, (1, 3)), ("test", (2, 1))):
        first = write_classes(
            tmp_path / part, dict(zip(("cat", "dog"), counts, strict=True)), first
        )
    dataset = load_image_folder(tmp_path, fitted(4))
    assert [sorted(numbers(part)) for part in parts(dataset)] == [
        list(range(6)),
        list(range(6, 10)),
        list(range(10, 13)),
    ]


@pytest.mark.parametrize("given", ["validation", "test"])
def test_a_part_that_is_missing_is_held_out(tmp_path, given):
    first = write_classes(tmp_path / "train", {"cat": 20, "dog": 2})
    write_classes(tmp_path / given, {"cat": 1, "dog": 1}, first)
    dataset = load_image_folder(tmp_path, fitted(4))
    other = {"validation": "test", "test": "validation"}[given]
    assert np.bincount(getattr(dataset, other).labels).tolist() == [2, 1]
    assert np.bincount(dataset.train.labels).tolist() == [18, 1]
    assert sorted(numbers(getattr(dataset, given))) == [22, 23]


def test_train_may_be_a_class(tmp_path):
    write_classes(tmp_path, {"train": 3, "bus": 3, "tram": 3})
    assert load_image_folder(tmp_path, fitted(4)).class_names == ("bus", "train", "tram")


def test_links_are_followed(tmp_path):
    write_classes(tmp_path / "elsewhere", {"cat": 3, "dog": 3})
    (tmp_path / "here").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere" / name)
    assert len(load_image_folder(tmp_path / "here", fitted(4)).train) == 2


# What is left out


def test_what_cannot_be_used_is_left_out_and_told(tmp_path, capsys, monkeypatch):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    dog = tmp_path / "dog"
    Image.new("RGB", (15, 10)).save(dog / "1 bomb", "PNG")  # of which Pillow would only warn
    Image.fromarray(noise()).save(dog / "2 cut.jpg")
    (dog / "2 cut.jpg").write_bytes((dog / "2 cut.jpg").read_bytes()[:-40])
    (dog / "3 text.JPG").write_text("no image")
    (dog / "4 link.png").symlink_to(tmp_path / "nowhere")
    Image.fromarray(np.zeros((SIZE, SIZE), np.float32)).save(dog / "5 float.tif")
    (dog / "6 deeper").mkdir()
    plain(99).save(tmp_path / "7 loose.png")
    for quiet in (".DS_Store", "notes.txt", "labels.csv"):
        (dog / quiet).write_text("no image")
    dataset = load_image_folder(tmp_path, fitted(4))
    assert [len(part) for part in parts(dataset)] == [2, 2, 2]
    expected = (
        f"Left out of {tmp_path}: 7 that cannot be used",
        "  '7 loose.png': in no folder of a class",
        "  'dog/1 bomb': Image size (150 pixels) exceeds limit of 100 pixels",
        "  'dog/2 cut.jpg': image file is truncated",
        "  'dog/3 text.JPG': no JPEG, PNG, WebP, GIF, BMP or TIFF image",
        "  'dog/4 link.png': a link to nothing, or no file",
        "  and 2 more",
    )
    for line, start in zip(capsys.readouterr().out.splitlines(), expected, strict=True):
        assert line.startswith(start)


def test_hidden_images_are_left_out_and_told(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 3, ".cache": 3})
    plain(99).save(tmp_path / "cat" / "._99.png")
    assert 99 not in numbers(load_image_folder(tmp_path, fitted(4)).train)
    assert capsys.readouterr().out.endswith("  'cat/._99.png': hidden\n")


def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    os.mkfifo(tmp_path / "cat" / "x.jpg")
    load_image_folder(tmp_path, fitted(4))
    assert "'cat/x.jpg': a link to nothing, or no file" in capsys.readouterr().out


def test_nothing_is_told_where_all_is_well(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    load_image_folder(tmp_path, fitted(4))
    assert not capsys.readouterr().out


# Errors


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "holds no folders of classes; expected FOLDER/CLASS/IMAGE"),
        ({"cat": 3}, "holds one class, 'cat'; expected .* two or more"),
        ({"cat": 3, "dog": 2}, r"too few images of 'dog' \(2\); expected 3 or more"),
        ({"cat": 0, "dog": 3}, r"too few images of 'cat' \(0\)"),
        (
            {"train/cat": 3, "train/dog": 1, "test/cat": 1, "test/dog": 1},
            r"'dog' \(1\).* 2 or more",
        ),
        ({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 0}, r"test has .*'dog' \(0\)"),
        ({"train/a": 3, "train/b": 3, "val/a": 3}, "different classes: 'b' in one of them only"),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "validation/a": 1}, "validation/ and val/"),
        ({"train": 3, "test": 3}, "train holds no folders of classes"),
        ({"set/a": 3, "set/b": 3}, "one class, 'set'.* the folder right above the classes"),
    ],
)
def test_another_layout_is_refused(tmp_path, layout, message):
    write_classes(tmp_path, layout)
    with pytest.raises(DatasetError, match=f"^data_dir: .*{message}"):
        load_image_folder(tmp_path, fitted(4))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist or is no folder; expected"):
        load_image_folder(tmp_path / "nowhere", fitted(4))


def test_damaged_files_do_not_count_and_are_told_before_the_error(tmp_path, capsys):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    path = tmp_path / "dog" / "4.png"
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(DatasetError, match=r"too few images of 'dog' \(2\)"):
        load_image_folder(tmp_path, fitted(4))
    assert "'dog/4.png': " in capsys.readouterr().out


def test_copies_do_not_count(tmp_path):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    shutil.copy(tmp_path / "dog" / "4.png", tmp_path / "dog" / "copy.png")
    with pytest.raises(DatasetError, match=r"'dog' \(2\); expected 3 or more a class, copies not"):
        load_image_folder(tmp_path, fitted(4))


def test_more_than_half_of_the_memory_is_refused(tmp_path, monkeypatch):
    write_classes(tmp_path, {"cat": 3, "dog": 3})
    size = 100
    needed = 6 * size**2 * 3
    sizes = {"SC_PAGE_SIZE": 4, "SC_PHYS_PAGES": needed // 2}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert load_image_folder(tmp_path, fitted(size)).input_shape == (size, size, 3)
    with pytest.raises(DatasetError, match=r"image_size: 6 images of 101x101 .* choose 100 or"):
        load_image_folder(tmp_path, fitted(size + 1))
