import pytest

from keras_resnext.prediction.images import find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "in/c.webp", ".trash/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names):
    return [str(path) for path in find_images(names)]


def test_a_folder_gives_what_is_named_like_an_image(folder):
    assert found(".") == ["a.JPG", "b.png", "in/c.webp"]


def test_a_file_is_taken_whatever_its_name(folder):
    assert found("notes.txt", ".hidden.png") == ["notes.txt", ".hidden.png"]


def test_patterns_are_sorted_and_names_keep_their_order(folder):
    assert found("in/*", "*.[pt]*") == ["in/c.webp", "b.png", "notes.txt"]
    assert found("**/*.webp") == ["in/c.webp"]


def test_each_file_once(folder):
    assert found("b.png", ".", "b*") == ["b.png", "a.JPG", "in/c.webp"]


def test_a_name_that_looks_like_a_pattern(folder):
    (folder / "x[1].png").touch()
    assert found("x[1].png") == ["x[1].png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "images: expected a file, folder or pattern, got none"),
        (("b.png", "missing.png"), "expected a file by the name missing.png, found none"),
        (("*.gif",), r"expected a file by the name \*\.gif"),
        (("empty",), r"expected an image \(\.jpg, .*\) by the name empty, found none"),
        (("https://example.org/a.png",), "got the URL https://example.org/a.png; download it"),
    ],
)
def test_bad_names(folder, names, message):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_images(names)
