"""The whole way, once per format: what is exported answers what the user's own model answers."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnext
from keras_resnext import ResNeXt, backend, files
from keras_resnext.checkpoint import write_checkpoint
from keras_resnext.data.demo import load_demo
from keras_resnext.export import FORMATS, ExportError, pipeline
from keras_resnext.export.pipeline import check_accuracy, check_answers
from keras_resnext.inference import predict
from keras_resnext.preprocessing import Preprocessing, whole_image
from tests.export.conftest import NAMES, PREPROCESSING, randomize

# A process takes seconds to start, so each format comes from one backend, not the one that writes
# it where there is a choice; the SavedModel comes from all.
FROM = {
    "tensorflow": ("saved_model", "onnx", "torch"),
    "jax": ("saved_model", "onnx-int8", "litert"),
    "torch": ("saved_model", "litert-int8", "openvino"),
}


def test_every_format_is_exported_from_some_backend():
    tested = {name for names in FROM.values() for name in names}
    assert tested | {"keras"} == set(FORMATS)


@pytest.mark.parametrize("name", FROM[backend.NAME])
def test_a_users_model_answers_alike_once_exported(
    name, trained, images, request, monkeypatch, tmp_path
):
    missing = [package for package in FORMATS[name].packages if not find_spec(package)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.setenv("HOME", str(tmp_path))
    own = trained.predict(images.astype(np.float32), verbose=0)
    if name == "saved_model":
        folder = request.getfixturevalue("exported")
    else:
        dataset = (images, own.argmax(axis=1)) if FORMATS[name].int8 else None
        path = tmp_path / "mine"
        folder = keras_resnext.export(trained, path, name, NAMES, PREPROCESSING, dataset)
        assert folder == path / "1"
    assert not list(folder.parents[1].glob(".writing-*"))
    assert not (tmp_path / "intel").exists()  # where OpenVINO keeps an identity to report its use
    written = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert written["labels.txt"].read_text() == "one\ntwo\nthree\n"
    assert "3 classes" in written["model_card.md"].read_text()
    assert json.loads(written["preprocessing.json"].read_text())["image_size"] == 32
    if name == "torch":  # `predict` does not run it
        return
    tolerance = 0.05 if FORMATS[name].int8 else 1e-4  # eight bits tell 256 values apart
    for prediction, probabilities in zip(predict(folder, images, top=3), own, strict=True):
        found = {guess.name: guess.probability for guess in prediction.guesses}
        assert found == pytest.approx(dict(zip(NAMES, probabilities, strict=True)), abs=tolerance)
    if name == "litert":
        written["labels.txt"].write_text("one\ntwo\n")
        with pytest.raises(ValueError, match=r"puts out \(3,\) .*, and labels.txt names 2"):
            predict(folder, images[:1])


@pytest.mark.skipif(backend.NAME != "jax", reason="it takes two processes; one backend will do")
def test_a_checkpoint_is_exported_with_its_preprocessing_and_card(
    images, tmp_path, monkeypatch, capsys
):
    model = randomize(ResNeXt((1,), cardinality=2, input_shape=(32, 32, 3), classes=3))
    preprocessing = Preprocessing(32, 40, "bilinear", (110, 120, 130), (50, 60, 70))
    write_checkpoint(
        tmp_path / "run",
        model,
        preprocessing=preprocessing,
        class_names=NAMES,
        license="CC-BY-4.0",
        accuracy={"test top-1": 0.625},
    )
    monkeypatch.setattr(sys, "argv", ["keras-resnext", "export", "a run"])
    folder = keras_resnext.export(tmp_path / "run", tmp_path / "mine", "keras")
    card = (folder / "model_card.md").read_text()
    assert capsys.readouterr().out.strip() in card
    for text in ("62.5", "CC-BY-4.0".lower(), "`keras-resnext export 'a run'`", "64 images: serv"):
        assert text in card
    plain = keras.saving.load_model(folder / "model.keras", compile=False)
    layers = list(plain._flatten_layers(include_self=False))
    assert {type(layer).__module__.split(".")[0] for layer in layers} == {"keras"}
    assert not [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    normalized = (images - np.array(preprocessing.mean)) / preprocessing.std
    own = model.predict(normalized.astype(np.float32), verbose=0)
    found = keras.ops.softmax(plain.predict(images.astype(np.float32), verbose=0))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), own, atol=1e-5)


LOGITS = np.array([[5, 1, 0], [0, 5, 1]], np.float32)


@pytest.mark.parametrize("value", [6e-4, np.nan])
def test_one_wrong_answer_is_found(value):
    answers = {"serving_default/logits": LOGITS.copy()}
    check = check_answers(answers, LOGITS, NAMES, "softmax")
    assert "on 2 images: serving_default/logits 0.0e+00" in check
    answers["serving_default/logits"][1, 2] += value
    with pytest.raises(ExportError, match=r"logits differ by .* \(bound 5\.0e-04\). Nothing was"):
        check_answers(answers, LOGITS, NAMES, "softmax")


def test_a_wrong_name_is_found():
    scores = np.sort(np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True))[:, ::-1]
    names = np.array([[b"one", b"two", b"three"], [b"two", b"three", b"one"]])
    answers = {"serve_bytes/scores": scores, "serve_bytes/classes": names}
    check_answers(answers, LOGITS, NAMES, "softmax")
    names[0, :2] = names[0, 1::-1]
    with pytest.raises(ExportError, match="serve_bytes/classes differ"):
        check_answers(answers, LOGITS, NAMES, "softmax")
    names[:] = [[b"crane", b"crane", b"three"], [b"crane", b"three", b"crane"]]
    check_answers(answers, LOGITS, ("crane", "crane", "three"), "softmax")


@pytest.mark.parametrize("value", [100, np.nan])
def test_lost_accuracy_is_found(value):
    logits, labels = LOGITS.copy(), np.array([0, 1])
    assert "2 test images: 100.00% as trained, 100.00% in int8 (+0.00" in check_accuracy(
        logits, LOGITS, labels
    )
    logits[0, 2] = value
    with pytest.raises(ExportError, match=r"int8 takes the accuracy from 100\.00% to 50\.00%"):
        check_accuracy(logits, LOGITS, labels)


@pytest.fixture
def answers(monkeypatch):
    """Answer in place of the processes."""
    given = {}

    def write(name, backend_name, folder):
        folder.mkdir()
        given["network"] = keras.saving.load_model(folder.parent / "network.keras", compile=False)

    def run(file, chosen, preprocessing, images):
        logits = given["network"].predict(images.astype(np.float32), verbose=0)
        return {"serving_default/logits": logits * given.get("factor", 1)}

    monkeypatch.setattr(pipeline, "_write", write)
    monkeypatch.setattr(pipeline, "_answers", run)
    return given


def small(*layers, shape=(8, 8, 3)):
    end = [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input(shape), *layers, *end])


def test_an_export_that_computes_something_else_is_not_kept(answers, tmp_path, monkeypatch):
    model = small(keras.layers.BatchNormalization())
    answers["factor"] = 1.5
    with pytest.raises(ExportError, match="its serving_default/logits differ by"):
        keras_resnext.export(model, tmp_path / "mine", "keras")
    copy = pipeline.pixels_network  # a wrong one would be exported right
    monkeypatch.setattr(pipeline, "pixels_network", lambda given: randomize(copy(given)))
    with pytest.raises(ExportError, match="its outputs differ by"):
        keras_resnext.export(model, tmp_path / "mine", "keras")
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])
    with pytest.raises(ArithmeticError, match="not finite; retrain it"):
        keras_resnext.export(model, tmp_path / "mine", "keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_every_head_and_precision_is_verified(answers, policy, tmp_path):
    """Softmax, sigmoid or logits, in a layer or an operation, flat or nested, dropout or not."""
    keras.config.set_dtype_policy(policy)
    try:
        backbone = ResNeXt((1,), cardinality=1, input_shape=(8, 8, 3), include_top=False)
        images = keras.Input((8, 8, 3))
        pooled = keras.layers.GlobalMaxPooling2D()(backbone(images, training=False))
        logits = keras.layers.Dense(3)(keras.layers.Dropout(0.5)(pooled))
        heads = {
            "softmax": keras.ops.softmax(logits),
            "sigmoid": keras.layers.Dense(3, activation="sigmoid")(pooled),
            "linear": logits,
        }
        models = {name: keras.Model(images, head) for name, head in heads.items()}
    finally:
        keras.config.set_dtype_policy("float32")
    preprocessing = Preprocessing(8, 8, mean=(1, 2, 3), std=(9, 9, 9))
    for name, model in list(models.items())[: 1 if policy == "mixed_bfloat16" else 3]:
        folder = keras_resnext.export(model, tmp_path / name, "keras", preprocessing=preprocessing)
        written = json.loads((folder / "preprocessing.json").read_text())
        assert written["activation"] == ("sigmoid" if name == "sigmoid" else "softmax")


IMAGES = np.zeros((1, 8, 8, 3), np.uint8)


@keras.saving.register_keras_serializable()
def double(inputs):
    return 2 * inputs


class Double(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def channels_first():
    pool = keras.layers.GlobalMaxPooling2D(data_format="channels_first")
    return keras.Sequential([keras.Input((3, 8, 8)), pool, keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (small, {"format": "caffe"}, r"format: expected one of saved_model, keras, .* got 'caffe'"),
        (small, {"format": "onnx-int8"}, "dataset: onnx-int8 is calibrated on real images"),
        (small, {"path": "a b"}, r"name: expected letters, digits, .* got 'a b'"),
        (small, {"class_names": ("one",)}, "class_names: expected 2, one per output"),
        (small, {"preprocessing": Preprocessing()}, "expected a classifier of 224x224 RGB images"),
        (lambda: small(shape=(8, 9, 3)), {}, r"expected a classifier of 8x8 .* \(8, 9, 3\) to"),
        (lambda: small(shape=(None, 8, 3)), {}, "takes images of Nonex8, so give a Preprocessing"),
        (lambda: small(Double()), {}, "needs Double of .*; only Keras' layers and act"),
        (
            lambda: small(keras.layers.Conv2D(3, 1, activation=double)),
            {},
            "needs double of .*; only Keras' layers and act",
        ),
        (small, {"dataset": (IMAGES / 255, [0])}, r"uint8, got \(1, 8, 8, 3\), float64"),
        (
            small,
            {"format": "litert-int8", "dataset": (IMAGES, [2])},
            "dataset: expected labels from 0 to 1, .*, got 2 to 2",
        ),
        (channels_first, {}, "takes channels first; build it with channels last"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), {}, "put keras.Input"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(model, options, message, tmp_path):
    path = tmp_path / options.get("path", "mine")
    options = {"format": "keras"} | {k: v for k, v in options.items() if k != "path"}
    with pytest.raises(ValueError, match=message) as refused:
        keras_resnext.export(model(), path, **options)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_hold_it_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"path: expected a folder of versions, got the file .*file"
    ):
        keras_resnext.export("nowhere", tmp_path / "file")
    (tmp_path / "mine/1").mkdir(parents=True)
    for name in ("model.onnx", "preprocessing.json"):
        (tmp_path / "mine/1" / name).touch()
    with pytest.raises(ValueError, match=r"holds another format \(1/model.onnx\); .*mine-keras"):
        keras_resnext.export("nowhere", tmp_path / "mine", "keras")


def test_what_is_missing_is_said_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "find_spec", lambda name: not name.startswith("onnx"))
    with pytest.raises(ImportError, match=r'needs onnx, onnxscript, .* "keras-resnext\[export\]"'):
        keras_resnext.export("nowhere", tmp_path / "mine", "onnx")


@pytest.mark.skipif(backend.NAME != "jax", reason="the same under every backend")
def test_a_failing_process_says_why(tmp_path, capfd):
    with pytest.raises(
        RuntimeError, match="writing keras failed with status 1; its error is above"
    ):
        pipeline._write("keras", backend.NAME, tmp_path / "missing")
    assert "network.keras" in capfd.readouterr().err


KILLED = """
import keras, sys
from keras_resnext.export import export
pool, dense = keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)
model = keras.Sequential([keras.Input((8, 8, 3)), pool, dense])
export(model, sys.argv[1], "keras")
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed in /proc")
@pytest.mark.skipif(backend.NAME != "jax", reason="the same under every backend; it starts fastest")
def test_of_a_killed_export_nothing_is_left_for_long(tmp_path):
    killed = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "mine"])
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children")
    deadline = time.monotonic() + 120
    # An import may start a process, too: the folder is made just before the one that matters.
    while not (any(tmp_path.iterdir()) and (child := children.read_text().split())):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".writing-"]
    while Path(f"/proc/{child[0]}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline
    files.unfinished(tmp_path / "mine")  # as every export begins
    assert list(tmp_path.iterdir()) == []


def test_int8_needs_no_more_than_a_data_set(answers, tmp_path, capsys):
    demo = load_demo(2, 1, 1)
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(12)]
    )
    folder = keras_resnext.export(model, tmp_path / "mine", "litert-int8", dataset=demo)
    assert "accuracy on 12 test images" in capsys.readouterr().out
    labels = (folder / "labels.txt").read_text().splitlines()
    assert tuple(labels) == demo.class_names


def test_a_checkpoints_names_go_before_those_of_the_calibration_images(answers, tmp_path):
    network = ResNeXt((1,), cardinality=1, input_shape=(32, 32, 3), classes=12)
    names, crop = tuple("abcdefghijkl"), whole_image(32)
    write_checkpoint(tmp_path / "run", network, preprocessing=crop, class_names=names)
    options = {"dataset": load_demo(1, 1, 1), "preprocessing": Preprocessing(32, 40, "bilinear")}
    folder = keras_resnext.export(tmp_path / "run", tmp_path / "mine", "keras", **options)
    assert tuple((folder / "labels.txt").read_text().split()) == names
    assert "40 pixels (bilinear, " in (folder / "model_card.md").read_text()  # what was exported
