from dataclasses import replace
from pathlib import Path

import pytest

from keras_resnext.training.folder import RunError
from keras_resnext.training.runs import compare_runs, read_run, read_runs, table
from tests.training.left_behind import leave_run
from tests.training.tiny import SETTINGS


def test_reads_back_what_a_run_left(tmp_path):
    folder = leave_run(tmp_path / "run", SETTINGS, [0.25, 0.75, 0.75], finished=True)
    run = read_run(folder)
    assert run.settings == SETTINGS
    assert [row["seconds"] for row in run.history] == [50, 20, 20]
    assert run.best["epoch"] == 2
    assert run.results["parameters"] == 1234567


def test_results_of_an_earlier_end_are_left_out(tmp_path):
    folder = leave_run(tmp_path / "run", SETTINGS, [0.25, 0.75, 0.75], finished=True)
    leave_run(tmp_path / "longer", SETTINGS, [0.25, 0.75, 0.75, 0.8])
    (folder / "history.csv").write_bytes((tmp_path / "longer/history.csv").read_bytes())
    assert not read_run(folder).results


@pytest.mark.parametrize(
    ("name", "text"),
    [("history.csv", "epoch,loss\n1,low\n"), ("history.csv", "a,b\n1\n"), ("results.json", "{")],
)
def test_names_the_file_that_cannot_be_read(name, text, tmp_path):
    folder = leave_run(tmp_path / "run", SETTINGS, [0.5])
    (folder / name).write_text(text)
    with pytest.raises(RunError, match=rf"the run .*run cannot be read: {name}: "):
        read_run(folder)


def test_same_names_are_told_apart(tmp_path):
    folders = [tmp_path / "a/run", tmp_path / "b/run", tmp_path / "b/other"]
    for folder in folders:
        leave_run(folder, SETTINGS, [0.5])
    assert list(read_runs(folders)) == [str(folders[0]), str(folders[1]), "other"]


def test_refuses_what_it_cannot_compare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = leave_run(Path("run"), SETTINGS, [0.5])
    new = leave_run(Path("new"), SETTINGS)
    for folders, message in (
        ([run], "expected the folders of two runs or more, got 1"),
        ([run, tmp_path / "run"], "expected each run once, got .*run more than once"),
        ([run, new], "runs: new has no finished epoch yet"),
        ([run, Path("nowhere")], "there is no run nowhere"),
    ):
        with pytest.raises(ValueError, match=message):
            read_runs(folders)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_compares(tmp_path):
    changed = replace(SETTINGS, epochs=4, schedule="piecewise", milestones=(1, 3))
    whole = leave_run(tmp_path / "whole", SETTINGS, [0.25, 0.75], finished=True)
    part = leave_run(tmp_path / "part", changed, [0.25, 0.75, 0.5], backend="torch")
    text = compare_runs(read_runs([whole, part]))
    header, _, first, second = (cells(line) for line in text.splitlines()[2:6])
    assert dict(zip(header, first, strict=True)) == {
        "run": "whole",
        "backend": "jax",
        "device": "cuda:0",
        "model": "resnext11",
        "parameters": "1,234,567",
        "epochs": "2 of 2",
        "best epoch": "2",
        "best validation": "75.00%",
        "test (best)": "62.50%",
        "test (last)": "50.00%",
        "seconds/epoch": "35.0",
    }
    unfinished = dict(zip(header, second, strict=True))
    assert unfinished["backend"] == "torch"
    assert unfinished["epochs"] == "3 of 4"
    assert unfinished["test (best)"] == unfinished["parameters"] == "-"
    differing = [cells(line) for line in text.split("## Settings that differ")[1].split("\n")[2:-1]]
    assert differing == [
        ["setting", "whole", "part"],
        ["---", "---", "---"],
        ["epochs", "2", "4"],
        ["schedule", "cosine", "piecewise"],
        ["milestones", "-", "1, 3"],
    ]


def test_compares_equal_settings(tmp_path):
    folders = [leave_run(tmp_path / name, SETTINGS, [0.5]) for name in ("a", "b")]
    assert compare_runs(read_runs(folders)).endswith("## Settings that differ\n\nNone.\n")


def test_table_survives_bars():
    assert table(["a"], [["x|y"]]).splitlines()[2] == r"| x\|y |"


def test_missing_environment(tmp_path):
    folders = [leave_run(tmp_path / name, SETTINGS, [0.5]) for name in ("a", "b")]
    (folders[0] / "environment.json").unlink()
    assert "| a | - | - | resnext11 |" in compare_runs(read_runs(folders))
