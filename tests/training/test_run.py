import re

import pytest

from keras_resnext.files import write_csv
from keras_resnext.training import RunError, compare_runs, read_run
from keras_resnext.training.run import held
from tests.training.tiny import SETTINGS


def leave(folder, settings=SETTINGS, accuracies=(0.25, 0.5), backends=("jax", "jax")):
    """What a run leaves in its folder, without the run."""
    folder.mkdir()
    (folder / "settings.toml").write_text(settings.to_toml())
    history = [
        {
            "epoch": epoch,
            "accuracy": accuracy + 0.01,
            "loss": 2 / epoch,
            "val_accuracy": accuracy,
            "val_loss": 2.5 / epoch,
            "learning_rate": 0.1,
            "seconds": 20.0,
            "backend": backend,
            "device": "cuda:0",
            "version": "0.2.0",
        }
        for epoch, (accuracy, backend) in enumerate(zip(accuracies, backends, strict=False), 1)
    ]
    if history:
        write_csv(folder / "history.csv", history)
    return folder


FINISHED = (
    '{"epochs": 2, "test_accuracy_best": 0.625, "test_accuracy_last": 0.5, "parameters": 1234567}'
)


def test_compares_runs(tmp_path):
    one = leave(tmp_path / "one", backends=("jax", "torch"))
    (one / "results.json").write_text(FINISHED)
    other = leave(tmp_path / "$other$", SETTINGS.change(batch_size=24, milestones=(1,)), (0.75,))
    text = compare_runs([one, other], tmp_path / "comparison")
    assert "| one | jax, torch | cuda:0 | resnext11 | 1,234,567 | 2 of 2 | 2 | 50.00% |" in text
    assert re.search(r"\| \$other\$ \| jax .* - \| 1 of 2 \| 1 \| 75.00% \| - \| - \|", text)
    differing = text.split("## Settings that differ")[1]
    assert "| batch_size | 12 | 24 |\n| milestones | - | 1 |" in differing
    assert "seed" not in differing
    assert (tmp_path / "comparison/comparison.md").read_text() == text
    assert (tmp_path / "comparison/comparison.png").stat().st_size


def test_runs_that_cannot_be_compared(tmp_path):
    one, none = leave(tmp_path / "one"), leave(tmp_path / "none", accuracies=())
    for folders in ([one], [one, one]):
        with pytest.raises(ValueError, match="RUNS: name the folders of two runs or more"):
            compare_runs(folders, tmp_path / "comparison")
    with pytest.raises(ValueError, match="none has no finished epoch yet"):
        compare_runs([one, none], tmp_path / "comparison")
    with pytest.raises(RunError, match=r"there is no run .*runs there: none, one"):
        compare_runs([one, tmp_path / "two"], tmp_path / "comparison")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.json", "{}"),
        ("results.json", "[]"),
        ("results.json", "nothing"),
        ("history.csv", "epoch,loss\n1,2"),
        ("history.csv", "epoch,loss\nx"),
        ("settings.toml", "nothing"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path, name, text):
    folder = leave(tmp_path / "run")
    (folder / name).write_text(text)
    with pytest.raises(RunError, match=re.escape(name)) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_results_of_an_earlier_end_do_not_count(tmp_path):
    folder = leave(tmp_path / "run", accuracies=(0.1,))
    (folder / "results.json").write_text(FINISHED)
    assert read_run(folder).results == {}


def test_a_second_start_leaves_the_folder_of_the_first(tmp_path):
    folder = tmp_path / "run"
    with held(folder):
        with pytest.raises(BlockingIOError, match="is already running"), held(folder):
            pass
        assert folder.is_dir()
    assert not folder.exists()  # nothing came into it
