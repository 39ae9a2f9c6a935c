from datetime import datetime

import pytest

from keras_resnext.training.journal import WriteJournal, read_journal
from keras_resnext.training.progress import Progress


def train(folder, progress, until, epochs=3):
    """Call the callback as a run of epochs of five steps does, which a kill ends in epoch `until`.

    The rest of a resumed epoch is a `fit` of its own.
    """
    journal = WriteJournal(folder, progress, steps_per_epoch=5, epochs=epochs)
    while progress.epoch < epochs:
        journal.on_train_begin()
        last = progress.epoch + 1 if progress.step else epochs
        while progress.epoch < last:
            if progress.epoch == until:
                return
            progress.history.append({"epoch": progress.epoch + 1, "loss": 0.5})
            journal.on_epoch_end(progress.epoch)
            progress.epoch, progress.step = progress.epoch + 1, 0
        journal.on_train_end()


def story(folder):
    events = read_journal(folder / "journal.jsonl")
    return [(event["event"], event["epoch"], event.get("steps")) for event in events]


def test_whole_run(tmp_path):
    train(tmp_path, Progress(), until=None)
    assert story(tmp_path) == [
        ("start", 0, 0),
        ("epoch", 1, None),
        ("epoch", 2, None),
        ("epoch", 3, None),
        ("end", 3, 15),
    ]
    events = read_journal(tmp_path / "journal.jsonl")
    assert events[1]["loss"] == 0.5
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)
    assert times[0].utcoffset().total_seconds() == 0


def test_killed_and_resumed_run_has_each_epoch_once(tmp_path):
    train(tmp_path, Progress(), until=2)
    with open(tmp_path / "journal.jsonl", "a") as file:
        file.write('{"event": "epo')
    assert story(tmp_path) == [("start", 0, 0), ("epoch", 1, None), ("epoch", 2, None)]

    row = {"epoch": 1, "loss": 0.5}
    train(tmp_path, Progress(epoch=1, step=3, history=[row]), until=None)
    assert story(tmp_path) == [
        ("start", 0, 0),
        ("epoch", 1, None),
        ("resume", 1, 8),
        ("epoch", 2, None),
        ("epoch", 3, None),
        ("end", 3, 15),
    ]


def test_killed_before_the_first_checkpoint(tmp_path):
    train(tmp_path, Progress(), until=0)
    train(tmp_path, Progress(), until=1)
    assert story(tmp_path) == [("start", 0, 0), ("resume", 0, 0), ("epoch", 1, None)]


def test_finished_run_goes_on_with_more_epochs(tmp_path):
    progress = Progress()
    train(tmp_path, progress, until=None, epochs=1)
    train(tmp_path, progress, until=None, epochs=2)
    assert [name for name, *_ in story(tmp_path)] == [
        "start",
        "epoch",
        "end",
        "resume",
        "epoch",
        "end",
    ]


@pytest.mark.parametrize("line", ["", "nonsense", "[1]", '{"event": "epoch"}'])
def test_damage_elsewhere_is_told(line, tmp_path):
    path = tmp_path / "journal.jsonl"
    train(tmp_path, Progress(), until=1)
    path.write_text(f"{line}\n{path.read_text()}")
    with pytest.raises(ValueError, match=r"journal.jsonl, line 1: expected a JSON object with eve"):
        read_journal(path)
