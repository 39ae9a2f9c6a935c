import pytest

from keras_resnext.files import write_text, written_whole


def test_writes(tmp_path):
    write_text(tmp_path / "a.json", "ä")
    write_text(tmp_path / "a.json", "ö")
    assert (tmp_path / "a.json").read_bytes() == "ö".encode()
    assert len(list(tmp_path.iterdir())) == 1


def test_leaves_the_old_file_where_writing_fails(tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_text("old")

    def fail():
        with written_whole(path) as temporary:
            assert temporary.name.endswith(".weights.h5")
            assert temporary.parent == path.parent
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
