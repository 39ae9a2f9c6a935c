from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnext.prediction import picture
from keras_resnext.prediction.picture import check_picture, draw_predictions
from keras_resnext.prediction.predictions import Guess, Prediction

RED, BLUE = (np.full((8, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))


def prediction(name):
    return Prediction(Path(name), (Guess(0, "a$^$", 0.9), Guess(1, "b", 0.1)))


def drawn(predictions, images, path):
    draw_predictions(predictions, images, path)
    return np.asarray(Image.open(path).convert("RGB"))


def test_images_lie_side_by_side(tmp_path):
    pixels = drawn([prediction("$x_.png"), prediction("y.png")], [RED, BLUE], tmp_path / "p.png")
    red, blue = (np.argwhere((pixels == image[0, 0]).all(axis=-1)) for image in (RED, BLUE))
    assert len(red) == pytest.approx(len(blue), rel=0.05)
    assert red[:, 1].max() < blue[:, 1].min()
    assert red[:, 0].min() == pytest.approx(blue[:, 0].min(), abs=2)


def test_no_more_images_than_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "MOST", 3)
    many = [prediction(f"{number}.png") for number in range(9)]
    few = drawn(many[:3], [RED] * 3, tmp_path / "few.png")
    assert drawn(many, [RED] * 9, tmp_path / "many.png").shape == few.shape


def test_a_name_that_is_no_png():
    with pytest.raises(ValueError, match=r"plot: expected NAME\.png, got x\.pdf"):
        check_picture(Path("x.pdf"))
