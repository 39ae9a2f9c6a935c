import pytest

from keras_resnext.export import versions
from keras_resnext.export.versions import publish


def finished(tmp_path, text):
    folder = tmp_path / "scratch"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets/labels.txt").write_text(text)
    return folder


def test_versions_count_up_from_what_is_there(tmp_path):
    model = tmp_path / "models/mine"
    assert publish(finished(tmp_path, "a"), model) == model / "1"
    for name in ("9", "10", "notes", ".writing-x"):
        (model / name).mkdir()
        (model / name / "file").touch()
    assert publish(finished(tmp_path, "b"), model) == model / "11"
    assert (model / "1/assets/labels.txt").read_text() == "a"
    assert (model / "11/assets/labels.txt").read_text() == "b"
    assert not (tmp_path / "scratch").exists()


def test_a_version_taken_meanwhile_is_left_alone(tmp_path, monkeypatch):
    model = tmp_path / "mine"
    publish(finished(tmp_path, "theirs"), model)
    answers = iter([1, 2])
    monkeypatch.setattr(versions, "_next_version", lambda folder: next(answers))
    assert publish(finished(tmp_path, "ours"), model) == model / "2"
    assert (model / "1/assets/labels.txt").read_text() == "theirs"


def test_what_cannot_be_moved_stays(tmp_path):
    (tmp_path / "mine").write_text("a file")
    folder = finished(tmp_path, "a")
    with pytest.raises(OSError, match="mine"):
        publish(folder, tmp_path / "mine")
    assert (folder / "assets/labels.txt").exists()
