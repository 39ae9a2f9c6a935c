import io
import json
import sys
from dataclasses import replace

import pytest
from PIL import Image

from keras_resnext import data
from keras_resnext.commands.predict import main
from keras_resnext.prediction import predictor
from keras_resnext.training.folder import DATASET_FILE, SETTINGS_FILE
from tests.prediction.conftest import leave_trained
from tests.training.tiny import SETTINGS, shrink, tiny_demo


def no_data(*_):
    raise AssertionError("the data set was loaded")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return leave_trained(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    """Three images, in the working directory; the data set cannot be loaded."""
    shrink(monkeypatch)
    monkeypatch.setattr(data, "load", no_data)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name, image in zip("abc", tiny_demo("demo").test.images, strict=False):
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def test_prints_a_table_and_writes_both_files(run, tmp_path, capsys):
    options = "images --top 2 --json out.json --plot out.png --batch-size 2"
    assert main([str(run), *options.split()]) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "out.json").read_text())
    assert [p["image"] for p in written["predictions"]] == [f"images/{x}.png" for x in "abc"]
    assert len(lines) == 1 + 3 * 2
    first = written["predictions"][0]["top"][0]
    assert lines[1].split() == [
        "images/a.png",
        *first["class"].split(),
        f"{first['probability']:.2%}",
    ]
    assert Image.open(tmp_path / "out.png").size > (500, 100)


def test_json_instead_of_the_table(run, capsys):
    assert main([str(run), "images/*.png", "--json", "-"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [len(prediction["top"]) for prediction in values["predictions"]] == [5, 5, 5]


def test_unreadable_images_are_reported_and_skipped(run, images, capsys):
    (images / "b.png").write_bytes(b"no image")
    assert main([str(run), "images", "--json", "-"]) == 3
    out, err = capsys.readouterr()
    assert err.splitlines() == ["skipped images/b.png: no JPEG, PNG, WebP, GIF, BMP or TIFF image"]
    assert len(json.loads(out)["predictions"]) == 2
    assert json.loads(out)["unreadable"][0]["image"] == "images/b.png"


def test_no_image_can_be_read(run, images, capsys):
    for path in images.iterdir():
        path.write_bytes(b"")
    assert main([str(run), "images", "--json", "out.json"]) == 1
    *skipped, error = capsys.readouterr().err.splitlines()
    assert len(skipped) == 3
    assert error == "error: images: none of 3 can be read"
    assert not (images.parent / "out.json").exists()


def test_a_run_that_does_not_describe_its_data(run, tmp_path, monkeypatch, capsys):
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return tiny_demo(*arguments)

    monkeypatch.setattr(data, "load", load)
    assert main([str(run), "images", "--json", "-"]) == 0
    described = capsys.readouterr().out
    assert not asked
    assert main([str(run), "images", "--json", "-", "--dataset", "demo"]) == 0
    assert asked == [("demo", None, None)]
    assert capsys.readouterr().out == described
    alone = tmp_path / "alone.weights.h5"
    alone.write_bytes((run / "best.weights.h5").read_bytes())
    settings = replace(SETTINGS, dataset="folder", data_dir=tmp_path / "data", image_size=32)
    (tmp_path / "s.toml").write_text(settings.to_toml())
    assert main([str(alone), "images", "--settings", "s.toml"]) == 0
    assert asked[1:] == [("folder", tmp_path / "data", 32)]


def test_a_bar_on_a_terminal_apart_from_the_table(run, monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main([str(run), "images"]) == 0
    assert terminal.getvalue() == ""  # one batch
    table = capsys.readouterr().out
    assert main([str(run), "images", "--batch-size", "1"]) == 0
    assert "3/3" in terminal.getvalue()
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere images", "expected a run's folder or a model file, found none at nowhere"),
        ("{run} missing.png", "images: expected a file by the name missing.png, found none"),
        ("{run} http://x/a.png", "got the URL http://x/a.png; download it first"),
        ("{run} images --top 0", "top: expected 1 or more, got 0"),
        ("{run} images --batch-size 0", "batch_size: expected 1 or more, got 0"),
        ("{run} images --plot p.jpg", "plot: expected NAME.png, got p.jpg"),
        ("{run} images --plot no/p.png", "plot: no is no folder; make it first"),
        ("{run} images --json no/p.json", "json: no is no folder; make it first"),
        ("{run}/best.weights.h5 images --settings s.ini", "recipe: expected one of"),
        ("{run}/../alone.weights.h5 images", "holds weights only; say of which network"),
        ("{run}/.. images", "there is no run"),
        ("images/a.png images", "expected NAME.keras or NAME.weights.h5, got a.png"),
        ("exported images --data-dir x", "data_dir: a SavedModel knows its own, got x"),
    ],
)
def test_bad_input_ends_in_one_line(run, arguments, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/saved_model.pb").touch()
    (run.parent / "alone.weights.h5").touch()
    monkeypatch.setattr(predictor, "inference_network", no_data)  # no work is begun
    assert main(arguments.format(run=run).split()) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_description_of_other_classes(run, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("best.weights.h5", SETTINGS_FILE):
        (other / name).write_bytes((run / name).read_bytes())
    values = json.loads((run / DATASET_FILE).read_text())
    (other / DATASET_FILE).write_text(json.dumps(values | {"class_names": ["a", "b"]}))
    assert main([str(other), "images"]) == 1
    assert "do not fit resnext11 with 2 classes (demo)" in capsys.readouterr().err
