import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_resnext.training.curves import draw_comparison, draw_curves
from tests.training.left_behind import progress_of


@pytest.fixture
def drawn(monkeypatch):
    """Figures that have been saved."""
    figures = []
    save = Figure.savefig

    def keep(self, *arguments, **options):
        figures.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.mark.parametrize("accuracies", [[0.5], [0.25, 0.75, 0.5]])
def test_curves(accuracies, drawn, tmp_path):
    draw_curves(progress_of(accuracies), tmp_path / "curves.png")
    loss, accuracy, rate = drawn[0].axes
    epochs = list(range(1, len(accuracies) + 1))
    for axes in (loss, accuracy, rate):
        assert list(axes.lines[0].get_xdata()) == epochs
    assert list(loss.lines[1].get_ydata()) == [2.5 / epoch for epoch in epochs]
    assert list(accuracy.lines[1].get_ydata()) == [100 * value for value in accuracies]
    assert f"{100 * max(accuracies):.2f} %" in accuracy.get_title()
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (1800, 504)


@pytest.mark.parametrize(
    ("rates", "scale"),
    [
        ([0.1], "linear"),
        ([0.1, 0.05, 0.02], "linear"),
        ([0.1, 0.01, 0.001], "log"),
        ([0.1, 0.05, 0.0], "linear"),
        ([0.1, 0.005, 0.0], "log"),
        ([0.0, 0.0], "linear"),
    ],
)
def test_learning_rate_over_more_than_a_decade_has_a_logarithmic_axis(
    rates, scale, drawn, tmp_path
):
    progress = progress_of([0.5] * len(rates))
    for row, rate in zip(progress.history, rates, strict=True):
        row["learning_rate"] = rate
    draw_curves(progress, tmp_path / "curves.png")
    assert drawn[0].axes[2].get_yscale() == scale


def test_comparison(drawn, tmp_path):
    histories = {"short": progress_of([0.5]).history, "long": progress_of([0.25, 0.75]).history}
    draw_comparison(histories, tmp_path / "comparison.png")
    loss, accuracy = drawn[0].axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["short", "long"]
    validation, training = accuracy.lines[2:]
    assert list(validation.get_ydata()) == [25, 75]
    assert list(training.get_ydata()) == [26, 76]
    assert training.get_linestyle() == "--"
    assert training.get_color() == validation.get_color() != accuracy.lines[0].get_color()
