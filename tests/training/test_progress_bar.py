import io
import re

import keras
import numpy as np
import pytest

from keras_resnext.training.progress import Progress
from keras_resnext.training.progress_bar import ShowProgress

LOGS = {"accuracy": 0.5, "loss": 1.25}  # in the order that Keras hands over
FIRST_STEP, STEP, VALIDATION = 100, 20, 70


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, progress=None, epochs=1, steps_per_execution=1):
    """Call the callback as a run of epochs of five steps of ten images does."""
    progress, clock = progress or Progress(), Clock()
    show = ShowProgress(progress, 10, 5, epochs, stream, clock)
    seconds = FIRST_STEP
    for epoch in range(progress.epoch, epochs):
        show.on_epoch_begin(epoch)
        rest = 5 - progress.step
        for first in range(0, rest, steps_per_execution):
            clock.seconds += seconds * min(steps_per_execution, rest - first)
            show.on_train_batch_end(first + steps_per_execution - 1, LOGS)
            seconds = STEP
        clock.seconds += VALIDATION
        progress.step = 0
        show.on_epoch_end(epoch, {**LOGS, "val_loss": 2.0, "val_accuracy": 0.25})
        progress.epoch += 1
    return stream.getvalue()


def test_log_file_gets_a_line_a_minute_and_a_line_an_epoch():
    ends = "loss 1.2500, accuracy 50.00%, val_loss 2.0000, val_accuracy 25.00%, 0.5 images/s"
    # After the first step, 4 steps and a validation took 150 s; then 9 and two took 320 s.
    assert run(io.StringIO(), epochs=3).splitlines() == [
        "epoch 1/3, step 1/5: loss 1.2500, accuracy 50.00%",
        "epoch 1/3, step 4/5: loss 1.2500, accuracy 50.00%, 0.5 images/s, 0:03:40 left",
        f"epoch 1/3: {ends}, 0:06:15 left",
        "epoch 2/3, step 3/5: loss 1.2500, accuracy 50.00%, 0.5 images/s, 0:03:30 left",
        f"epoch 2/3: {ends}, 0:02:58 left",
        "epoch 3/3, step 3/5: loss 1.2500, accuracy 50.00%, 0.5 images/s, 0:01:03 left",
        f"epoch 3/3: {ends}",
    ]


def test_resumed_epoch_goes_on_where_it_was():
    lines = run(io.StringIO(), Progress(epoch=1, step=3), epochs=2).splitlines()
    assert lines[0] == "epoch 2/2 goes on after step 3 of 5"
    assert lines[1].startswith("epoch 2/2, step 4/5: ")
    assert "0.5 images/s" in lines[2]


def test_executions_of_several_steps_are_counted_by_step():
    lines = run(io.StringIO(), epochs=2, steps_per_execution=2).splitlines()
    assert lines[0].startswith("epoch 1/2, step 2/5: ")
    assert lines[1].startswith("epoch 1/2: ")
    assert "0.5 images/s" in lines[1]
    assert lines[2].startswith("epoch 2/2, step 4/5: ")


def test_terminal_gets_keras_bar():
    text = re.sub(r"\x1b\[\d+m", "", run(Terminal(), Progress(step=3), epochs=2))
    *lines, rest = [line.split("\r")[-1] for line in text.split("\n")]
    assert lines[0] == "epoch 1/2 goes on after step 3 of 5"
    assert lines[1].startswith("2/2 ━")
    assert lines[1].endswith("loss: 1.2500 - accuracy: 0.5000 - images/s: 0.5000")
    assert lines[2].startswith("epoch 1/2: ")
    assert lines[3].startswith("5/5 ━")
    assert lines[4].startswith("epoch 2/2: ")
    assert len(lines) == 5
    assert rest == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_in_fit(stream, capsys):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.eye(3)[[0, 1, 2, 0, 1]], np.array([0, 1, 0, 1, 0])
    show = ShowProgress(Progress(), 2, 3, 2, stream)
    history = model.fit(
        x, y, batch_size=2, epochs=2, validation_data=(x, y), callbacks=[show], verbose=0
    ).history
    for epoch, line in enumerate(re.findall(r"^epoch \d/2: .*", stream.getvalue(), re.MULTILINE)):
        assert line.startswith(f"epoch {epoch + 1}/2: ")
        for name in ("loss", "val_loss"):
            assert f" {name} {history[name][epoch]:.4f}" in line
        assert f" val_accuracy {history['val_accuracy'][epoch]:.2%}" in line
        assert "images/s" in line
    assert epoch == 1
    assert capsys.readouterr().out == ""
