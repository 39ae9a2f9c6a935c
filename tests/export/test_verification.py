import numpy as np
import pytest
from PIL import Image

from keras_resnext.data.decoding import resize_and_crop
from keras_resnext.export.verification import ExportError, compare, framed, sample_images
from keras_resnext.preprocessing import Preprocessing
from tests.training.tiny import tiny_demo

NAMES = tuple("abcdefg")


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.fixture
def logits():
    return np.random.default_rng(0).standard_normal((6, len(NAMES))).astype(np.float32)


@pytest.fixture
def answers(logits):
    probabilities = softmax(logits)
    order = np.argsort(-probabilities)[:, :5]
    return {
        "serving_default/logits": logits + 2e-5,
        "serving_default/probabilities": probabilities,
        "serve_uint8/logits": logits.copy(),
        "serve_uint8/probabilities": probabilities + 1e-6,
        "serve_bytes/classes": np.array(NAMES, bytes)[order],
        "serve_bytes/scores": np.take_along_axis(probabilities, order, axis=1),
    }


def test_finds_the_largest_difference_of_each_kind(logits, answers):
    found = compare(logits, answers, NAMES)
    assert found["logits"] == pytest.approx(2e-5, rel=0.05)
    assert found["probabilities"] == pytest.approx(1e-6, rel=0.2)
    assert found["scores"] < 1e-6


@pytest.mark.parametrize(("largest", "agree"), [(1, False), (50, True)])
def test_logits_are_as_exact_as_their_size_allows(logits, answers, largest, agree):
    logits[:, 0] = largest
    answers |= {key: logits + 1e-3 for key in answers if key.endswith("logits")}
    answers |= {key: softmax(logits) for key in answers if key.endswith("probabilities")}
    order = np.argsort(-logits)[:, :5]
    answers["serve_bytes/classes"] = np.array(NAMES, bytes)[order]
    answers["serve_bytes/scores"] = np.take_along_axis(softmax(logits), order, axis=1)
    if agree:
        assert compare(logits, answers, NAMES)["logits"] == pytest.approx(1e-3, rel=0.1)
    else:
        with pytest.raises(ExportError, match="logits by 1"):
            compare(logits, answers, NAMES)


@pytest.mark.parametrize("value", [1.0, np.nan])
@pytest.mark.parametrize(
    "key",
    [
        "serving_default/logits",
        "serving_default/probabilities",
        "serve_uint8/logits",
        "serve_uint8/probabilities",
        "serve_bytes/scores",
    ],
)
def test_one_wrong_number_is_found(logits, answers, key, value):
    answers[key][3, 2] = value
    with pytest.raises(ExportError, match=key.split("/")[1]):
        compare(logits, answers, NAMES)


def test_swapped_names_are_found(logits, answers):
    answers["serve_bytes/classes"][2, :2] = answers["serve_bytes/classes"][2, 1::-1]
    with pytest.raises(ExportError, match="scores by"):
        compare(logits, answers, NAMES)


def test_samples_are_spread_over_the_split():
    dataset = tiny_demo("demo")
    np.testing.assert_array_equal(sample_images(dataset), dataset.test.images)


@pytest.mark.parametrize("resize_size", [8, 9, 10, 11])
def test_preprocessing_cuts_the_frame_off_again(resize_size):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    preprocessing = Preprocessing(8, resize_size, "bicubic")
    for image, whole in zip(images, framed(images, preprocessing), strict=True):
        assert whole.shape == (resize_size, resize_size, 3)
        found = resize_and_crop(Image.fromarray(whole), preprocessing)
        np.testing.assert_array_equal(np.asarray(found), image)
