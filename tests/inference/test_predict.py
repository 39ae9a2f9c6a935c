import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_resnext import ResNeXt, backend
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.inference import (
    GradCAM,
    Guess,
    Prediction,
    open_classifier,
    predict,
    predict_files,
    predictions_as_json,
    predictions_as_text,
    runtimes,
)
from keras_resnext.preprocessing import Preprocessing

NAMES = ("고양이", "a dog")
PREPROCESSING = Preprocessing(8, 8, "bilinear", (100, 110, 120), (50, 60, 70))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    return ResNeXt((1,), cardinality=1, input_shape=(8, 8, 3), classes=2)


@pytest.fixture(scope="module")
def own(network):
    normalized = (IMAGES - np.array(PREPROCESSING.mean)) / PREPROCESSING.std
    return network.predict(normalized.astype(np.float32), verbose=0)


def shares(predictions):
    return np.array([[g.probability for g in sorted(p.guesses)] for p in predictions])


def test_a_checkpoint_a_model_and_a_users_model_answer_alike(network, own, tmp_path):
    described = {"preprocessing": PREPROCESSING, "class_names": NAMES}
    write_checkpoint(tmp_path / "run", network, **described)
    found = predict(tmp_path / "run", IMAGES, batch_size=2)
    np.testing.assert_allclose(shares(found), own, atol=1e-5)
    assert {guess.name for guess in found[0].guesses} == set(NAMES)
    np.testing.assert_allclose(shares(predict(network, IMAGES, **described)), own, atol=1e-5)
    scale = keras.layers.Normalization(mean=PREPROCESSING.mean, variance=[2500, 3600, 4900])
    users = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.RandomFlip(), scale, network])
    found = predict(users, IMAGES, top=1)
    assert found[0].guesses[0].name == f"class {own[0].argmax()}"
    np.testing.assert_allclose([p.guesses[0].probability for p in found], own.max(1), atol=1e-5)


def test_heads_behind_casts_and_in_lists(network, own):
    image = keras.Input((8, 8, 3))
    scores, layers = network(image), keras.layers
    logits = keras.ops.log(scores)
    heads = [
        layers.Activation("linear", dtype="float32")(scores),
        {"scores": keras.ops.cast(scores, "float64")},
        [layers.Identity()(layers.Activation(layers.Softmax())(logits))],
        layers.Activation("log_softmax")(logits),
    ]
    for head in heads:
        model = keras.Model(image, head)
        found = predict(model, IMAGES, preprocessing=PREPROCESSING)
        np.testing.assert_allclose(shares(found), own, atol=1e-5)
        maps = GradCAM(model, preprocessing=PREPROCESSING)(IMAGES, top=2)
        expected = np.take_along_axis(own, maps.labels, 1)
        np.testing.assert_allclose(maps.probabilities, expected, atol=1e-5)


@pytest.mark.usefixtures("channels_first")
def test_channels_first_and_half_precision(network, own):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        first = ResNeXt((1,), cardinality=1, input_shape=(3, 8, 8), classes=2)
    finally:
        keras.config.set_dtype_policy("float32")
    first.set_weights(network.get_weights())
    found = predict(first, IMAGES, preprocessing=PREPROCESSING)
    np.testing.assert_allclose(shares(found), own, atol=0.05)


def test_files_in_batches_with_reasons_for_the_rest(network, own, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    paths[3].write_bytes(b"no image")
    with open_classifier(network, NAMES, PREPROCESSING) as classifier:
        batches = list(predict_files(classifier, paths, batch_size=2, keep_images=2))
        with pytest.raises(ValueError, match="top: expected 1 or more, got -1"):
            predict(network, IMAGES, top=-1)
        with pytest.raises(ValueError, match="top: expected 1 or more, got 0"):
            next(predict_files(classifier, paths, 0))
    assert [list(batch.unreadable) for batch in batches] == [[], [paths[3]], []]
    found = [prediction for batch in batches for prediction in batch.predictions]
    assert [prediction.path for prediction in found] == [*paths[:3], paths[4]]
    np.testing.assert_allclose(shares(found), own[[0, 1, 2, 4]], atol=1e-5)
    assert [prediction.image is None for prediction in found] == [False, False, True, True]
    with pytest.raises(ValueError, match=r"images: .*3\.png cannot be read: no JPEG, PNG"):
        predict(network, tmp_path, preprocessing=PREPROCESSING)


def test_images_and_models_that_do_not_fit(network):
    with pytest.raises(ValueError, match=r"images of 8x8x3, got the shape \(1, 9, 9, 3\)"):
        predict(network, np.zeros((1, 9, 9, 3), np.uint8), preprocessing=PREPROCESSING)
    pool, dense = keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(1)
    with pytest.raises(ValueError, match="has one output, whose softmax is always 1"):
        predict(keras.Sequential([keras.Input((8, 8, 3)), pool, dense]), IMAGES)


def test_class_names_are_what_a_data_set_may_have(network):
    names = ("نمی‌خواهم", "a\u00a0dog")
    array = np.array(names)  # as scikit-learn's encoders have them
    found = predict(network, IMAGES[:1], class_names=array, preprocessing=PREPROCESSING)
    assert {guess.name for guess in found[0].guesses} == set(names)
    with pytest.raises(ValueError, match=r"expected 2, one per output of .*, each a str, .* 0, 1"):
        predict(network, IMAGES, class_names=(0, 1), preprocessing=PREPROCESSING)
    with pytest.raises(ValueError, match=r"class_names: the class name 'b\\n' must be one line"):
        predict(network, IMAGES, class_names=("a", "b\n"), preprocessing=PREPROCESSING)


def test_outputs_that_are_not_finite(network):
    broken = keras.models.clone_model(network)
    broken.set_weights([np.full(weight.shape, np.nan) for weight in network.get_weights()])
    with pytest.raises(ArithmeticError, match="not finite; retrain it"):
        predict(broken, IMAGES, preprocessing=PREPROCESSING)


def test_table_and_json(tmp_path):
    guesses = (Guess(0, NAMES[0], 0.75), Guess(1, NAMES[1], 0.25))
    found = [Prediction(tmp_path / "a.png", guesses, None), Prediction(None, guesses, None)]
    head, first, second = predictions_as_text(found[:1]).splitlines()
    assert first.split()[1:] == ["고양이", "75.00%"]
    assert first.index("75.00%") + 3 == second.index("25.00%")  # three letters of two columns
    assert head.index("probability") + 5 == second.index("25.00%")
    values = json.loads(predictions_as_json("net", found, {tmp_path / "b.png": "no image"}))
    assert values["predictions"][0]["top"][1] == {"label": 1, "class": "a dog", "probability": 0.25}
    assert values["predictions"][1]["image"] is None
    assert values["unreadable"] == [{"image": str(tmp_path / "b.png"), "reason": "no image"}]


def graph(function):
    """Of a SavedModel's signature that calls a function, and the signature."""
    tf = pytest.importorskip("tensorflow")
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, "images")
    inner = tf.function(function, input_signature=[spec])
    outer = tf.function(lambda images: inner(images), input_signature=[spec])
    concrete = outer.get_concrete_function()
    signature = SignatureDef()
    signature.outputs["logits"].name = concrete.graph.outputs[0].name
    return concrete.graph.as_graph_def(), signature


@pytest.mark.skipif(backend.NAME != "tensorflow", reason="of TensorFlow's graphs")
def test_operations_that_do_more_than_compute_are_refused():
    import tensorflow as tf

    def writes(images):
        with tf.control_dependencies([tf.io.write_file("/tmp/never", "x")]):
            return tf.reduce_mean(images, (1, 2))

    def saves(images):
        tf.raw_ops.SaveV2(prefix="x", tensor_names=["x"], shape_and_slices=[""], tensors=[images])
        return tf.reduce_mean(images, (1, 2))

    def calls(images):
        return tf.numpy_function(np.negative, [images], tf.float32)

    for function, name in ((writes, "WriteFile"), (saves, "SaveV2"), (calls, "PyFunc")):
        with pytest.raises(ValueError, match=f"no export of ours has: .*{name}"):
            runtimes.checked_graph(*graph(function))
    assert runtimes.checked_graph(*graph(lambda images: tf.reduce_mean(images, (1, 2)))).node


@pytest.mark.parametrize("name", ["model.keras", "model.pt2"])
def test_formats_that_can_hold_programs_run_for_verification_only(name, tmp_path):
    for file in (name, "preprocessing.json"):
        (tmp_path / file).touch()
    with pytest.raises(ValueError, match="can hold programs; predict with what was exported"):
        predict(tmp_path, IMAGES)
