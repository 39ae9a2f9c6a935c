import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_resnext import data
from keras_resnext.commands.export import main
from keras_resnext.export import saved_model
from keras_resnext.export.processes import run_python
from keras_resnext.export.tensorflow import reader
from tests.training.tiny import shrink


def start(*arguments, **environment):
    """Start Python in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def graph(folder):
    (meta_graph,) = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    return meta_graph.graph_def


def nodes(folder):
    functions = graph(folder).library.function
    return [*graph(folder).node, *(node for f in functions for node in f.node_def)]


def test_writes_what_a_server_and_its_operator_need(export, dataset):
    files = {str(p.relative_to(export.folder)) for p in export.folder.rglob("*") if p.is_file()}
    assert {"saved_model.pb", "assets/labels.txt", "assets.extra/model_card.md"} <= files
    labels = (export.folder / "assets/labels.txt").read_text().splitlines()
    assert tuple(labels) == dataset.class_names
    assert sorted(p.name for p in export.folder.parent.parent.iterdir()) == ["tiny"]


def test_model_card_says_what_was_measured(export, run):
    card = (export.folder / "assets.extra/model_card.md").read_text()
    assert "87.50% top-1 and 96.25% top-5" in card
    assert "float32 (batch, 32, 32, 3)" in card
    assert f"`python scripts/export.py {run}" in card
    assert f"under {keras.config.backend()}" in card


def test_nothing_in_the_graph_needs_xla_or_another_library(export):
    assert reader.needs_xla(str(export.folder)) == []
    assert {node.op for node in nodes(export.folder)} <= set(dir(tf.raw_ops)) | {
        f.signature.name for f in graph(export.folder).library.function
    }


def test_weights_are_constants_and_stored_once(export, run):
    assert not [node for node in nodes(export.folder) if node.op == "FusedBatchNormV3"]
    variables = [node for node in nodes(export.folder) if node.op == "VarHandleOp"]
    # TensorFlow keeps the path of an asset in one.
    assert all(node.attr["dtype"].type == tf.string.as_datatype_enum for node in variables)
    weights = 4 * keras.saving.load_model(run / "model.keras").count_params()
    assert (export.folder / "saved_model.pb").stat().st_size < 1.2 * weights + 300_000


def test_a_convolution_and_its_bias_are_not_fused_where_that_refuses_groups(export, tmp_path):
    """With oneDNN off the reader fails where TensorFlow does."""
    np.save(tmp_path / "images.npy", np.zeros((2, 32, 32, 3), np.uint8))
    images = tmp_path / "images.npy"
    files = (export.folder, images, images, tmp_path / "answers.npz")
    process = start("-P", saved_model.READER, *files, TF_ENABLE_ONEDNN_OPTS="0")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert len(np.load(tmp_path / "answers.npz")) == 6


@pytest.mark.skipif(
    keras.config.backend() == "torch", reason="Keras exports no SavedModel from PyTorch"
)
def test_what_plain_keras_exports_fails_where_this_runs(tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 1)(inputs)
    x = keras.layers.Conv2D(8, 3, groups=4)(x)
    plain = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    plain.export(tmp_path / "plain", verbose=False)
    assert reader.needs_xla(str(tmp_path / "plain"))
    program = (
        f"import sys; sys.path.append({str(saved_model.READER.parent)!r})\n"
        "import reader, tensorflow as tf\n"
        "reader.disable_xla()\n"
        f"plain = tf.saved_model.load({str(tmp_path / 'plain')!r})\n"
        "plain.serve(tf.zeros((1, 32, 32, 3)))\n"
    )
    process = start("-c", program)
    output, _ = process.communicate()
    assert process.returncode
    assert "XLA compilation disabled" in output


def test_saved_model_cli_shows_and_runs_it(export, dataset, tmp_path):
    cli = Path(sys.executable).with_name("saved_model_cli")
    np.save(tmp_path / "images.npy", dataset.test.images)
    show = start(cli, "show", "--dir", export.folder, "--all")
    run = start(
        *(cli, "run", "--dir", export.folder, "--tag_set", "serve", "--outdir", tmp_path),
        *("--signature_def", "serve_uint8", "--inputs", f"images={tmp_path / 'images.npy'}"),
    )
    shown, ran = show.communicate()[0], run.communicate()[0]
    for name in ("serving_default", "serve_uint8", "serve_bytes", "probabilities", "(-1, 5)"):
        assert name in shown
    assert run.returncode == 0, ran
    found = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(found, export.probabilities, atol=1e-4)


def test_an_export_that_computes_something_else_is_not_kept(
    export, run, tmp_path, monkeypatch, capsys
):
    def writes_a_copy(what, *arguments, **environment):
        if "writing" in what:
            shutil.copytree(export.folder, arguments[-1])
        else:
            run_python(what, *arguments, **environment)

    def halved(images, mean, std):
        return data.normalise(images // 2, mean, std)

    shrink(monkeypatch)
    monkeypatch.setattr(saved_model, "run_python", writes_a_copy)
    monkeypatch.setattr(saved_model, "normalise", halved)
    assert main([str(run), "--output-dir", str(tmp_path / "out")]) == 1
    assert (
        "does not compute what the network does; off are its logits by" in capsys.readouterr().err
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_process_that_fails_says_why(capsys):
    with pytest.raises(RuntimeError, match="trying failed with status 3; its error is above"):
        run_python("trying", "-c", "print('because'); exit(3)")
    assert "because" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere", "expected a run's folder or a model file, found none at nowhere"),
        ("{run} --name a/b", "name: expected letters, digits, '-', '_' and '.'"),
        ("{run} --name .hidden", "got '.hidden'"),
        ("{run} --output-dir {run}/results.json", "results.json"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, message, run, capsys, monkeypatch):
    shrink(monkeypatch)
    assert main(arguments.format(run=run).split()) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_without_tensorflow_the_error_says_what_to_install(run, capsys, monkeypatch):
    shrink(monkeypatch)
    monkeypatch.setattr(saved_model, "find_spec", lambda name: None)
    assert main([str(run), "--output-dir", str(run / "out")]) == 1
    assert 'pip install "keras-resnext[tensorflow]"' in capsys.readouterr().err
    assert not (run / "out").exists()
