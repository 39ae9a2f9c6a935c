"""Published weights where a run could be named."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_resnext.commands import evaluate, export, predict
from keras_resnext.data import normalise
from keras_resnext.data.decoding import resize_and_crop
from keras_resnext.imagenet_classes import imagenet_class_names, imagenet_classes
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.training.trained import find_trained
from tests.photographs import photograph
from tests.tiny_preset import PRESET, publish

PREPROCESSING = PRESET.preprocessing
CRANE, TISSUE = "n02012849", "n15075141"


@pytest.fixture(autouse=True)
def network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return publish(monkeypatch, tmp_path / "keras")


def probabilities(network, *images):
    prepared = np.stack([np.asarray(resize_and_crop(image, PREPROCESSING)) for image in images])
    pixels = normalise(prepared, PREPROCESSING.mean, PREPROCESSING.std)
    return network.predict(pixels, verbose=0)


def noise(seed):
    shape = (50, 70, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture
def imagenet(tmp_path):
    """Three images of a crane and one of toilet tissue, in the layout of ImageNet."""
    for number, wordnet_id in enumerate([CRANE, CRANE, CRANE, TISSUE]):
        (tmp_path / "val" / wordnet_id).mkdir(parents=True, exist_ok=True)
        noise(number).save(tmp_path / "val" / wordnet_id / f"{number}.png")
    return tmp_path / "val"


def test_predict_names_imagenet_classes(network, capsys):
    photograph("grace_hopper").save("photo.png")
    assert predict.main([PRESET.name, "photo.png", "--top", "3", "--json", "-"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    (expected,) = probabilities(network, photograph("grace_hopper"))
    labels = np.argsort(-expected)[:3]
    assert [guess["label"] for guess in prediction["top"]] == labels.tolist()
    assert [guess["class"] for guess in prediction["top"]] == [
        imagenet_class_names()[label] for label in labels
    ]
    found = [guess["probability"] for guess in prediction["top"]]
    np.testing.assert_allclose(found, expected[labels], rtol=1e-4)


def test_evaluate_measures_all_images_of_a_folder(network, imagenet, tmp_path, capsys):
    scores = probabilities(network, *map(noise, range(4)))
    best = imagenet_classes()[scores[0].argmax()].wordnet_id
    if best not in (CRANE, TISSUE):  # so that one is right
        (imagenet / best).mkdir()
        (imagenet / CRANE / "0.png").rename(imagenet / best / "0.png")
    given = ["--dataset", "folder", "--data-dir", str(imagenet)]
    assert evaluate.main([PRESET.name, *given]) == 0
    folder = tmp_path / "runs" / PRESET.name / "evaluation/test"
    report = json.loads((folder / "report.json").read_text())
    assert report["images"] == 4
    assert report["top1"] >= 0.25
    rows = {row["class"]: row for row in report["classes"]}
    assert rows["toilet_tissue"]["images"] == 1
    assert rows["toilet_tissue"]["superclass"] == "toilet_tissue"
    assert Image.open(folder / "confusion.png").size < (5000, 5000)


def test_export_without_any_images(network, tmp_path, capsys):
    assert export.main([PRESET.name, "--output-dir", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / PRESET.name / "1"
    assert tuple((folder / "assets/labels.txt").read_text().split()) == imagenet_class_names()
    written = json.loads((folder / "assets.extra/preprocessing.json").read_text())
    assert Preprocessing.from_dict(written) == PREPROCESSING


def test_int8_asks_for_images(capsys):
    assert export.main([PRESET.name, "--format", "onnx-int8"]) == 1
    assert "onnx-int8 is calibrated on real images; give --dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "data_dir: resnext5_2x4d.tiny_in1k comes without images; expected a folder of"),
        (("--data-dir", "nowhere"), "data_dir: nowhere does not exist or is no folder"),
        (("--data-dir", "other"), "holds folders of no ImageNet class, cat; expected FOLDER/WORD"),
        (("--data-dir", "empty"), "data_dir: empty holds no images"),
    ],
)
def test_a_folder_of_something_else(tmp_path, arguments, message, capsys):
    (tmp_path / "other/cat").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    assert evaluate.main([PRESET.name, *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_name_that_is_nearly_one(tmp_path):
    with pytest.raises(ValueError, match=f"nor are published .* did you mean .*{PRESET.name}"):
        find_trained(tmp_path.relative_to(tmp_path) / "resnext5_2x4d.tiny")


def test_a_run_of_that_name_goes_before(tmp_path):
    (tmp_path / PRESET.name).mkdir()
    with pytest.raises(ValueError, match="there is no run"):
        find_trained((tmp_path / PRESET.name).relative_to(tmp_path))
