import pytest
from PIL import Image

from keras_resnext import data
from keras_resnext.commands import explain
from keras_resnext.commands.explain import main
from tests.prediction.conftest import leave_trained
from tests.training.tiny import shrink, tiny_demo


def no_work(*_):
    raise AssertionError("the data set or the network was loaded")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return leave_trained(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    """Three images in two folders, in the working directory; the data set cannot be loaded."""
    shrink(monkeypatch)
    monkeypatch.setattr(data, "load", no_work)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images/deeper").mkdir(parents=True)
    names = ("a.png", "b.png", "deeper/a.png")
    for name, image in zip(names, tiny_demo("demo").test.images, strict=False):
        Image.fromarray(image).save(tmp_path / "images" / name)
    return tmp_path / "images"


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_picture_an_image(run, tmp_path, capsys):
    assert main([str(run), "images", "--output-dir", "out", "--top", "2", "--batch-size", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = ["a.png", "b.png", "deeper/a.png"]
    assert written(tmp_path / "out") == files
    for line, file in zip(lines, files, strict=True):
        assert line.startswith(f"images/{file}: ")
        assert line.count("%, ") == 1
        assert line.endswith(f"%; written to out/{file}")
    width, height = Image.open(tmp_path / "out/a.png").size
    assert 2.5 < width / height < 3.5


@pytest.mark.parametrize("file", ["model.keras", "best.weights.h5"])
def test_named_classes_beside_the_model(run, file, capsys):
    names = tiny_demo("demo").class_names
    classes = [names[3], names[0], names[3]]
    assert main([str(run / file), "images/b.png", "--classes", *classes, "--stage", "1"]) == 0
    out = capsys.readouterr().out
    assert out.index(names[3]) < out.index(names[0])
    assert out.count(names[3]) == 1
    assert written(run / "explanations") == ["b.png"]


def test_names_that_differ_in_their_endings_only(run, images, tmp_path):
    Image.open(images / "a.png").save(images / "a.bmp")
    assert main([str(run), "images/a.png", "images/a.bmp", "--output-dir", "out"]) == 0
    assert written(tmp_path / "out") == ["a.bmp.png", "a.png.png"]


def test_unreadable_images_are_reported_and_skipped(run, images, tmp_path, capsys):
    (images / "b.png").write_bytes(b"no image")
    assert main([str(run), "images", "--output-dir", "out"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "skipped images/b.png: no JPEG, PNG, WebP, GIF, BMP or TIFF image"
    ]
    assert written(tmp_path / "out") == ["a.png", "deeper/a.png"]


def test_no_image_can_be_read(run, images, tmp_path, capsys):
    (images / "b.png").write_bytes(b"")
    assert main([str(run), "images/b.png", "--output-dir", "out"]) == 1
    _, error = capsys.readouterr().err.splitlines()
    assert error == "error: images: none of 1 can be read"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere images", "expected a run's folder or a model file, found none at nowhere"),
        ("{run} missing.png", "images: expected a file by the name missing.png, found none"),
        ("{run} images --top 0", "top: expected 1 or more, got 0"),
        ("{run} images --top 11", "top: expected 10 at most, got 11"),
        ("{run} images --batch-size 0", "batch_size: expected 1 or more, got 0"),
        ("{run} images --top 2 --classes disc", "top: the classes are named, got 2"),
        ("{run} images --classes disk", "of the network's 12, such as disc, got disk"),
        (
            "{run} images --classes zzz",
            "such as horizontal stripes, vertical stripes, diagonal stripes, got",
        ),
        ("{run} images --output-dir images/a.png", "expected a folder, got the file images/a.png"),
        ("{run} images --output-dir images", "would overwrite {tmp}/images/a.png"),
        ("exported images", "source: exported is a SavedModel, which has no gradients; give the"),
    ],
)
def test_bad_input_ends_in_one_line(run, arguments, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/saved_model.pb").touch()
    monkeypatch.setattr(explain, "inference_network", no_work)
    assert main(arguments.format(run=run).split()) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message.format(tmp=tmp_path) in line


def test_a_stage_that_there_is_not(run, capsys):
    assert main([str(run), "images", "--stage", "2"]) == 1
    assert "from 0 (the stem) to 1 (the last stage of" in capsys.readouterr().err
