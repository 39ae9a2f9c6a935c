from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_resnext.inference import (
    Guess,
    Prediction,
    draw_confusion,
    draw_explanation,
    draw_predictions,
    explanation_files,
    pictures,
)
from keras_resnext.inference.evaluate import report

BLUE = np.full((8, 8, 3), (0, 0, 255), np.uint8)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def explained(path, classes):
    """Of a blue image whose left half drives each class."""
    heat = np.zeros((classes, 8, 8))
    heat[:, :, :4] = 1
    guesses = tuple(Guess(label, "a$^$", 0.5) for label in range(classes))
    draw_explanation(Prediction(Path("$x_\udce9.png"), guesses, BLUE, heat), path)
    return pixels(path)


def test_an_image_and_its_heat_beside_it(tmp_path):
    drawn = explained(tmp_path / "p.png", 1)
    image = np.argwhere((drawn == (0, 0, 255)).all(-1))
    red, green, blue = np.moveaxis(drawn, -1, 0)
    hot = np.argwhere((red > 1.5 * blue) & (red > 1.5 * green))
    cold = np.argwhere((blue > red) & (blue < 150))
    assert image[:, 1].max() < hot[:, 1].min()
    assert hot[:, 1].max() <= cold[:, 1].min() + 1
    assert explained(tmp_path / "p.png", 3).shape[1] == 2 * drawn.shape[1]


def test_images_beside_bars(tmp_path):
    guesses = (Guess(0, r"$\badmacro$", 1.0), Guess(1, "고양이", 0.0))
    path = Path("caf\udce9.png")  # as of a file system that has it in Latin-1
    shown, left_out = (Prediction(path, guesses, image) for image in (BLUE, None))
    draw_predictions([shown] * 3 + [left_out] * 3, tmp_path / "p.png")
    drawn = pixels(tmp_path / "p.png")
    blue = np.flatnonzero((drawn == (0, 0, 255)).all(-1).any(axis=1))
    assert 1 + (np.diff(blue) > 1).sum() == 2  # rows of images


def test_letters_that_the_first_font_lacks_come_from_another(tmp_path, monkeypatch, recwarn):
    from matplotlib import font_manager, ft2font

    monkeypatch.setattr(pictures, "FONTS", ("not installed", "DejaVu Sans", "STIXGeneral"))
    own, other = (
        set(ft2font.FT2Font(font_manager.findfont(name)).get_charmap())
        for name in ("DejaVu Sans", "STIXGeneral")
    )
    guesses = (Guess(0, chr(min(other - own)), 1.0),)
    draw_predictions([Prediction(None, guesses, BLUE)], tmp_path / "p.png")
    assert not [x for x in recwarn if "Glyph" in str(x.message)]


@pytest.mark.parametrize(("classes", "named"), [(5, 5), (30, 30), (250, 0)])
def test_the_confusion_matrix_is_large_enough_to_read(classes, named, monkeypatch):
    drawings = []
    monkeypatch.setattr(pictures, "_save", lambda drawing, path: drawings.append(drawing))
    names = tuple(f"a class named {label}" for label in range(classes))
    groups = tuple("abcde"[label % 5] for label in range(classes))
    draw_confusion(report(np.eye(classes), np.arange(classes), names, groups), "unused")
    assert min(drawings[0].get_size_inches()) > 0.1 * min(classes, 200)
    assert len(drawings[0].axes[0].get_xticklabels()) == named


def test_pictures_of_images_from_several_places_have_names_of_their_own(tmp_path):
    paths = [Path(name) for name in ("x/a.jpg", "/y/a.png", "A.jpg", "b.jpg", "a-2.jpg")]
    files = explanation_files(paths, tmp_path)
    assert list(files) == paths
    assert {file.parent for file in files.values()} == {tmp_path}
    assert len({file.name.casefold() for file in files.values()}) == 5
    assert files[paths[0]].name == "a.png"
    image = tmp_path / "a.png"  # is not overwritten
    assert explanation_files([image], tmp_path) == {image: tmp_path / "a-2.png"}
