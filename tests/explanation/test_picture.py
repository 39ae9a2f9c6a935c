from pathlib import Path

import numpy as np
from PIL import Image

from keras_resnext.explanation.explanations import Explanation
from keras_resnext.explanation.picture import draw_explanation
from keras_resnext.prediction.predictions import Guess, Prediction


def drawn(path, classes):
    """Of a blue image whose left half speaks for each class."""
    image = np.full((8, 8, 3), (0, 0, 255), np.uint8)
    heat = np.zeros((classes, 8, 8))
    heat[:, :, :4] = 1
    guesses = tuple(Guess(label, "a$^$", 0.5) for label in range(classes))
    draw_explanation(Explanation(Prediction(Path("$x_.png"), guesses), image, heat), path)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_image_and_heat_beside_it(tmp_path):
    pixels = drawn(tmp_path / "p.png", 1)
    image = np.argwhere((pixels == (0, 0, 255)).all(-1))
    red, green, blue = np.moveaxis(pixels, -1, 0)
    hot = np.argwhere((red > 1.5 * blue) & (red > 1.5 * green))
    cold = np.argwhere((blue > red) & (blue < 150))
    assert image[:, 1].max() < hot[:, 1].min()
    assert hot[:, 1].max() <= cold[:, 1].min() + 1
    assert len(image) > 1.8 * len(hot) > 3.5e4


def test_each_class_has_its_picture(tmp_path):
    widths = [drawn(tmp_path / "p.png", classes).shape[1] for classes in (1, 3)]
    assert widths[1] == 2 * widths[0]
