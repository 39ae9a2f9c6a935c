import pytest

from keras_resnext.commands.compare import main
from tests.training.left_behind import leave_run
from tests.training.tiny import SETTINGS


@pytest.fixture
def runs(tmp_path):
    return [str(leave_run(tmp_path / name, SETTINGS, [0.25, 0.75])) for name in ("one", "two")]


def test_prints_and_writes(runs, tmp_path, capsys):
    folder = tmp_path / "new/comparison"
    assert main([*runs, "--output-dir", str(folder)]) == 0
    text = (folder / "comparison.md").read_text()
    assert "| two | jax |" in text
    assert text in capsys.readouterr().out
    assert (folder / "comparison.png").stat().st_size


def test_bad_input_ends_in_one_line_and_writes_nothing(runs, tmp_path, capsys):
    folder = tmp_path / "comparison"
    for arguments, words in (
        (runs[:1], "runs: expected the folders of two runs or more, got 1"),
        ([runs[0], runs[0]], "more than once"),
        ([runs[0], "nowhere"], "there is no run nowhere"),
    ):
        assert main([*arguments, "--output-dir", str(folder)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        assert words in line
    assert not folder.exists()
