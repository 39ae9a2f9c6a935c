import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import tensorflow as tf

from keras_resnext.data import normalise
from keras_resnext.export.interface import Interface, write_preprocessing
from keras_resnext.export.tensorflow.signatures import Served
from keras_resnext.prediction import saved_model, saved_model_worker
from keras_resnext.prediction.saved_model import is_saved_model, opened_saved_model
from keras_resnext.preprocessing import Preprocessing, fitted

PREPROCESSING = Preprocessing(8, 9, "bilinear", (120, 110, 100), (60, 50, 40))
INTERFACE = Interface("x", PREPROCESSING, ("red", "green", "blue"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """With the signatures of a real export, and a network that sees mean colours."""
    folder = tmp_path_factory.mktemp("exports")
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    served = Served(lambda images: tf.reduce_mean(images, (1, 2)), INTERFACE, folder / "labels.txt")
    tf.saved_model.save(served, str(folder / "1"), signatures=served.signatures())
    (folder / "1/assets.extra").mkdir()
    write_preprocessing(folder / "1/assets.extra", PREPROCESSING)
    return folder / "1"


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "1")


def test_a_process_of_its_own_computes_what_the_network_does(exported):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    logits = normalise(images, PREPROCESSING.mean, PREPROCESSING.std).mean(axis=(1, 2))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with opened_saved_model(exported) as predictor:
        assert predictor.class_names == INTERFACE.class_names
        np.testing.assert_allclose(predictor.probabilities(images[:3]), expected[:3], atol=1e-6)
        np.testing.assert_allclose(predictor.probabilities(images[3:]), expected[3:], atol=1e-6)
        with pytest.raises(RuntimeError, match=r"running .*/1 failed: "):
            predictor.probabilities(images[:, :4])


def test_damage(copied):
    (copied / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"source: .*/1 cannot be loaded: "):
        saved_model_worker.shape(str(copied))


def test_labels_that_do_not_fit(copied):
    labels = copied / "assets/labels.txt"
    for content, message in (
        (b"red\n\x1b]0;title\n", "names not fit to print"),
        (b"\x80\x04\xff", "expected class names in"),
        (None, "expected class names in"),
    ):
        labels.unlink() if content is None else labels.write_bytes(content)
        with pytest.raises(ValueError, match=message), opened_saved_model(copied):
            pass


def test_says_how_images_are_brought_to_it(copied):
    with opened_saved_model(copied) as predictor:
        assert predictor.preprocessing == PREPROCESSING
    (copied / "assets.extra/preprocessing.json").unlink()
    with opened_saved_model(copied) as predictor:
        assert predictor.preprocessing == fitted(8)  # as all were before the file was


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected preprocessing in .*preprocessing.json, as scripts/export.py writes it"),
        ('{"image_size": 8}', "expected preprocessing in"),
        (json.dumps(asdict(fitted(9))), "takes images of 8x8, expected squares of 9"),
    ],
)
def test_preprocessing_that_does_not_fit(copied, content, message):
    (copied / "assets.extra/preprocessing.json").write_text(content)
    with pytest.raises(ValueError, match=message), opened_saved_model(copied):
        pass


def test_a_graph_that_would_write_a_file_is_not_loaded(tmp_path):
    victim = tmp_path / "made"
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.uint8, "images")])
    def serve(images):
        tf.io.write_file(str(victim), "x")
        return {"probabilities": tf.reduce_mean(tf.cast(images, tf.float32), (1, 2))}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serve_uint8": serve})
    with pytest.raises(ValueError, match="it would read or write files by WriteFile"):
        saved_model_worker.shape(str(tmp_path / "1"))
    assert not victim.exists()
    images = tf.zeros((1, 8, 8, 3), tf.uint8)
    tf.saved_model.load(str(tmp_path / "1")).signatures["serve_uint8"](images=images)
    assert victim.exists(), "the graph must be one that would have written"


def test_a_saved_model_of_something_else(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ValueError, match="expected a signature serve_uint8 in"):
        saved_model_worker.shape(str(tmp_path / "1"))


def test_the_folder_of_a_version_is_wanted(exported, tmp_path):
    assert is_saved_model(exported)
    assert not is_saved_model(tmp_path)
    assert not is_saved_model(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"source: expected the folder of one version: .*/1$"):
        is_saved_model(exported.parent)


def test_without_tensorflow_the_error_says_what_to_install(exported, monkeypatch):
    monkeypatch.setattr(saved_model, "find_spec", lambda name: None)
    with (
        pytest.raises(ImportError, match=r'pip install "keras-resnext\[tensorflow\]"'),
        opened_saved_model(exported),
    ):
        pass
