import pytest

from keras_resnext.commands import presets
from keras_resnext.commands.presets import main
from keras_resnext.presets import PRESETS
from keras_resnext.presets.counts import Counts

NAME = "seresnext26d_32x4d.bt_in1k"


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(presets, "count", lambda preset: Counts(1, 2, 3))


def test_lists_all(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)


@pytest.mark.usefixtures("counted")
def test_prints_cards(capsys):
    assert main([NAME, "resnext50_32x4d.a1_in1k"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {NAME}\n")
    assert "\n# resnext50_32x4d.a1_in1k\n" in out


@pytest.mark.usefixtures("counted")
def test_writes_every_card_and_the_table(tmp_path, capsys):
    folder = tmp_path / "new/presets"
    assert main(["--write", str(folder)]) == 0
    assert {path.stem for path in folder.iterdir()} == {"README", *PRESETS}
    assert (folder / f"{NAME}.md").read_text().startswith(f"# {NAME}\n")
    assert f"[{NAME}]({NAME}.md)" in (folder / "README.md").read_text()
    assert str(folder) in capsys.readouterr().out


def test_bad_input_ends_in_one_line_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "presets"
    for arguments, words in (
        (["a1_in1k"], "there is no 'a1_in1k'; without a name, all are listed"),
        ([NAME, "--write", str(folder)], "leave the names out"),
    ):
        assert main(arguments) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        assert words in line
    assert not folder.exists()
