import numpy as np
import pytest

from keras_resnext.evaluation.confusion import draw_confusion
from keras_resnext.evaluation.report import Report


@pytest.mark.parametrize("classes", [10, 100])
def test_draws_a_picture_large_enough_to_read(tmp_path, classes):
    image = pytest.importorskip("matplotlib.image")
    names = tuple(f"a class named {label}" for label in range(classes))
    confusion = np.eye(classes, dtype=np.int64)
    superclass_of = np.arange(classes) % 5
    report = Report("test", 1.0, 1.0, 1.0, confusion, names, tuple("abcde"), superclass_of)
    draw_confusion(report, tmp_path / "confusion.png")
    height, width, _ = image.imread(tmp_path / "confusion.png").shape
    assert min(height, width) > 10 * classes
