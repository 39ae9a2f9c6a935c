from importlib.util import find_spec

import keras
import numpy as np
import pytest

from keras_resnext.data.demo import load_demo
from keras_resnext.export.formats import export
from keras_resnext.export.formats.export import export_format
from keras_resnext.export.formats.table import FORMATS
from keras_resnext.export.verification import ExportError
from keras_resnext.training.trained import find_trained
from tests.export.formats.conftest import skip_without

# A process takes seconds to start, so each format comes from one backend, never the one that
# writes it. What is handed over is a `.keras` file from every backend; `test_network` tests it.
FROM = {
    "tensorflow": ("keras", "onnx", "torch"),
    "jax": ("keras", "onnx-int8", "litert"),
    "torch": ("keras", "litert-int8", "openvino"),
}


def test_every_format_is_exported_from_some_backend():
    assert {name for names in FROM.values() for name in names} == set(FORMATS)


@pytest.mark.parametrize("name", FROM[keras.config.backend()])
def test_exports_what_its_own_runtime_computes_alike(
    name, tiny, run, tmp_path, tmp_path_factory, monkeypatch
):
    skip_without(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    test_per_class = 10 if FORMATS[name].int8 else 2  # accuracy moves by steps of one image
    dataset = load_demo(5, 1, test_per_class)
    exported = export_format(find_trained(run), dataset, name, tmp_path / f"mine-{name}")
    assert exported.folder == tmp_path / f"mine-{name}" / "1"
    labels = (exported.folder / "labels.txt").read_text().splitlines()
    assert tuple(labels) == dataset.class_names
    assert (exported.folder / FORMATS[name].file).stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == [f"mine-{name}"]
    assert not (home / "intel").exists()  # where OpenVINO keeps an identity to report its use by
    if FORMATS[name].int8:
        assert exported.check.images == 120
    else:
        assert exported.check.images == 24
        assert 0 < exported.check.difference <= exported.check.bound


@pytest.fixture
def answers(monkeypatch):
    """Answer in place of the processes, with logits that the test sets."""
    given = {}

    def run_python(what, *arguments, **environment):
        given["backend"] = environment["KERAS_BACKEND"]
        if "running" in what:
            np.save(arguments[-1], given["logits"])
        else:
            arguments[-1].write_text("a model")

    monkeypatch.setattr(export, "run_python", run_python)
    monkeypatch.setattr(export, "find_spec", lambda package: package)
    return given


@pytest.mark.parametrize("name", ["onnx", "litert-int8"])
def test_an_export_that_computes_something_else_is_not_kept(
    name, answers, tiny, run, dataset, tmp_path
):
    answers["logits"] = np.full((len(dataset.test), dataset.num_classes), np.nan, np.float32)
    with pytest.raises(ExportError, match="Nothing was kept"):
        export_format(find_trained(run), dataset, name, tmp_path / "mine")
    assert answers["backend"] == FORMATS[name].backend
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said_before_any_work(run, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export, "find_spec", lambda name: None if name.startswith("onnx") else find_spec(name)
    )
    with pytest.raises(
        ImportError, match=r"needs onnx, onnxscript, onnxruntime, .* \"keras-resnext\[onnx\]\""
    ):
        export_format(find_trained(run), dataset, "onnx", tmp_path / "models" / "mine")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(run, dataset, tmp_path):
    with pytest.raises(ValueError, match=r"format: expected one of keras, onnx, .* got 'caffe'"):
        export_format(find_trained(run), dataset, "caffe", tmp_path / "mine")
