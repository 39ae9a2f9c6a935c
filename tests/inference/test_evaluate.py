import json

import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.data import Dataset, Split
from keras_resnext.inference import evaluate, report_as_json, report_as_text
from keras_resnext.inference.evaluate import report
from keras_resnext.preprocessing import Preprocessing, whole_image

NAMES, GROUPS, GROUP_OF = tuple("abcdefg"), ("lower", "upper"), np.array([0, 1, 0, 1, 1, 1, 1])
LABELS = np.array([0, 0, 2, 3, 4, 5, 6, 6], np.int32)
# Ranks: 1st, 2nd (of the own superclass), 1st, 6th, 1st, 5th, 7th by a tie, 1st.
SCORES = np.array(
    [
        [9, 0, 0, 0, 0, 0, 0],
        [8, 0, 9, 0, 0, 0, 0],
        [0, 0, 9, 0, 0, 0, 0],
        [9, 8, 7, 4, 6, 5, 0],
        [0, 0, 0, 0, 9, 0, 0],
        [0, 9, 8, 7, 6, 5, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 9],
    ],
    np.float32,
)


@pytest.fixture(scope="module")
def result():
    return report(SCORES, LABELS, NAMES, tuple(GROUPS[group] for group in GROUP_OF))


def test_counts(result):
    assert (result.images, result.top1, result.top5) == (8, 4 / 8, 6 / 8)
    assert result.superclass_accuracy == 6 / 8
    column = {key: [row[key] for row in result.classes] for key in result.classes[0]}
    assert column["images"] == [2, 0, 1, 1, 1, 1, 2]
    assert column["recall"] == [0.5, None, 1, 0, 1, 0, 0.5]
    assert column["precision"] == [1 / 3, 0, 0.5, None, 1, None, 1]
    assert column["f1"][:2] == [pytest.approx(0.4), 0]
    assert result.recall == pytest.approx(3 / 7)
    assert result.precision == pytest.approx((1 / 3 + 0.5 + 2) / 7)  # never predicted counts as 0
    assert result.confusion[0].tolist() == [1, 0, 1, 0, 0, 0, 0]


def test_text_and_json(result):
    lines = [line.split() for line in report_as_text(result).splitlines()]
    assert ["top1", "50.00%"] in lines
    assert ["superclass", "accuracy", "75.00%"] in lines
    assert ["a", "2", "50.00%", "33.33%", "40.00%", "c", "(1)"] in lines
    assert ["b", "0", "no", "0.00%", "0.00%", "-"] in lines
    values = json.loads(report_as_json(result))
    assert values["top5"] == 0.75
    assert (values["classes"][0]["superclass"], values["classes"][1]["recall"]) == ("lower", None)
    assert values["confusion"] == result.confusion.tolist()


@pytest.fixture(scope="module")
def animals():
    labels = np.arange(7, dtype=np.int32)
    groups = GROUP_OF.astype(np.int32)
    one = Split(np.zeros((7, 8, 8, 3), np.uint8), labels, groups)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    test = Split(pixels, LABELS, groups[LABELS])
    return Dataset("animals", one, one, test, NAMES, GROUPS, whole_image(8))


def classifier(activation, classes=7):
    """Class 2 where the mean of the red channel is above 127.5, else class 0."""
    dense = keras.layers.Dense(classes, activation=activation)
    pool = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((8, 8, 3)), pool, dense])
    kernel, bias = np.zeros((3, classes)), np.full(classes, -1e3)
    kernel[0, 2], bias[0], bias[2] = 1, 0, -127.5
    dense.set_weights([kernel, bias])
    return model


@pytest.mark.parametrize("activation", ["softmax", None])
def test_a_model_gets_its_own_pixels(animals, activation, capsys):
    predicted = np.where(animals.test.images[..., 0].mean((1, 2)) > 127.5, 2, 0)
    result = evaluate(classifier(activation), animals, batch_size=3)
    assert result.top1 == (predicted == LABELS).mean()
    assert result.superclass_accuracy == (GROUP_OF[LABELS] == 0).mean()
    assert result.confusion[:, 2].sum() == (predicted == 2).sum()
    assert "gets RGB pixels from 0 to 255 as they are" in capsys.readouterr().err
    brighter = Preprocessing(8, 8, mean=(-255, 0, 0), std=(1, 1, 1))
    arrays = (animals.test.images, LABELS[:, None])  # as keras.datasets has them
    result = evaluate(classifier(activation), arrays, preprocessing=brighter)
    assert result.confusion[:, 2].sum() == 8
    assert (result.top1, result.top5) == (1 / 8, 5 / 8)  # the first five labels, by a tie
    assert capsys.readouterr().err == ""


def test_what_does_not_fit_is_refused(animals):
    with pytest.raises(ValueError, match=r"expected the 10 classes of sequential\S*, got 7"):
        evaluate(classifier(None, 10), animals)
    with pytest.raises(ValueError, match="batch_size: expected 1 or more, got 0"):
        evaluate(classifier(None), animals, batch_size=0)
    with pytest.raises(ValueError, match="split: expected one of train, validation, test"):
        evaluate(classifier(None), animals, "tests")
    with pytest.raises(ValueError, match="expected images of 8x8x3, got"):
        evaluate(classifier(None), (np.zeros((1, 9, 9, 3), np.uint8), [0]))
    for labels in (np.eye(7)[LABELS], LABELS[1:], LABELS / 1):
        with pytest.raises(ValueError, match=r"expected a class number per image, int \(8,\), got"):
            evaluate(classifier(None), (animals.test.images, labels))
    pool, dense = keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(1, "sigmoid")
    with pytest.raises(ValueError, match="expected an output per class to measure, got one"):
        evaluate(keras.Sequential([keras.Input((8, 8, 3)), pool, dense]), animals)
    with pytest.raises(ValueError, match="has no images"):
        evaluate(classifier(None), (animals.test.images[:0], []))


def test_names_that_stand_at_other_labels_are_refused(animals, tmp_path):
    network = ResNeXt((1,), cardinality=1, input_shape=(8, 8, 3), classes=7)
    names = ("unknown", *NAMES[1:5], "g", "f")
    write_checkpoint(tmp_path, network, preprocessing=whole_image(8), class_names=names)
    with pytest.raises(ValueError, match=r"its class 5, 'f', is number 6 of .*the same order"):
        evaluate(tmp_path, animals)
    assert evaluate(tmp_path, animals, class_names=NAMES).images == 8
