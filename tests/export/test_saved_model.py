"""The SavedModel in detail, and over the wire from a server that loads as TensorFlow Serving."""

import base64
import json
import os
import runpy
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_resnext import backend
from keras_resnext.data import image_to_square
from keras_resnext.inference import runtimes
from tests.export.conftest import NAMES, PREPROCESSING
from tests.export.encoded import KINDS, claims, encode, picture

if backend.NAME != "tensorflow":
    pytest.skip("TensorFlow writes it, whatever backend trained", allow_module_level=True)

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

CLIENT = Path(__file__).parents[2] / "scripts/serve_client.py"


@pytest.fixture(scope="module")
def own(trained, images):
    return trained.predict(images.astype(np.float32), verbose=0)


@pytest.fixture(scope="module")
def graph(exported):
    contents = (exported / "saved_model.pb").read_bytes()
    (meta_graph,) = SavedModel.FromString(contents).meta_graphs
    return meta_graph.graph_def


def test_nothing_needs_xla_and_weights_are_constants_stored_once(graph, exported, trained):
    assert runtimes.needs_xla(graph) == []
    nodes = runtimes.nodes(graph)
    functions = {function.signature.name for function in graph.library.function}
    assert {node.op for node in nodes} <= set(dir(tf.raw_ops)) | functions
    assert not [node for node in nodes if "BatchNorm" in node.op]
    # TensorFlow keeps the path of an asset in a variable.
    variables = [node for node in nodes if node.op == "VarHandleOp"]
    assert {node.attr["dtype"].type for node in variables} == {tf.string.as_datatype_enum}
    size = (exported / "saved_model.pb").stat().st_size
    assert size < 4 * 1.2 * trained.count_params() + 300_000


@pytest.fixture(scope="module")
def server(exported):
    """Without oneDNN, where a convolution that is fused with its bias refuses groups."""
    process = subprocess.Popen(
        [sys.executable, "-P", Path(__file__).with_name("server.py"), exported, "tiny"],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield SimpleNamespace(**json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def post(server, body):
    """The answer, or the error, and its status."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.rest}/v1/models/tiny:predict"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def b64(*files):
    instances = [{"b64": base64.b64encode(file).decode()} for file in files]
    return {"signature_name": "serve_bytes", "instances": instances}


def test_what_needs_xla_is_found_and_fails_on_this_server(server):
    compiled = tf.function(lambda: tf.function(tf.zeros, jit_compile=True)(1))
    assert runtimes.needs_xla(compiled.get_concrete_function().graph.as_graph_def())
    assert "XLA compilation disabled" in server.xla


def test_warm_up_requests_of_every_signature_are_replayed(server):
    pytest.importorskip("tensorflow_serving", reason="it has the messages")
    assert server.replayed == 3


@pytest.mark.parametrize("signature", ["serving_default", "serve_uint8"])
def test_rest_answers(server, own, images, signature):
    _, answer = post(server, {"signature_name": signature, "instances": images.tolist()})
    found = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(found, own, atol=1e-4)
    exponentials = np.exp([row["logits"] for row in answer["predictions"]])
    found_again = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found_again, found, atol=1e-5)


def test_files_of_every_kind_and_size_give_the_most_likely_classes_by_name(server, trained):
    files = [picture(20 + 9 * n, 70, n) for n in range(len(KINDS))]
    status, answer = post(server, b64(*map(encode, files, KINDS)))
    assert status == 200
    squares = np.stack([np.asarray(image_to_square(file, PREPROCESSING)) for file in files])
    expected = trained.predict(squares.astype(np.float32), verbose=0)
    for row, probabilities in zip(answer["predictions"], expected, strict=True):
        order = np.argsort(-probabilities)
        assert row["classes"] == [NAMES[label] for label in order]
        np.testing.assert_allclose(row["scores"], probabilities[order], atol=0.05)  # JPEG, WebP


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": np.zeros((1, 33, 32, 3)).tolist()}, "[1,33,32,3] is not compatible"),
        ({"instances": np.zeros((32, 32, 3)).tolist()}, "[32,32,3] is not compatible"),
        ({"signature_name": "serve_bytes", "instances": []}, "got none"),
        (b64(encode(picture(64, 64), "JPEG")[:900]), "Invalid JPEG"),
        (b64(encode(picture(9, 9)), claims("PNG", 10_240)), "at most 25000000 pixels"),
    ],
)
def test_a_bad_request_gets_an_error_and_the_server_goes_on(server, body, message, own, images):
    status, error = post(server, body)
    assert status == 400
    assert message in error
    _, answer = post(server, {"instances": images[:1].tolist()})
    np.testing.assert_allclose(answer["predictions"][0]["probabilities"], own[0], atol=1e-4)


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is counted in /proc")
def test_a_hundred_megapixels_take_no_memory(server):
    """One bit per pixel: twelve kilobytes of PNG that decode to 300 MB."""
    file = encode(Image.new("1", (10_000, 10_000)))
    status = Path(f"/proc/{server.process}/status")
    status.with_name("clear_refs").write_text("5")  # forget the highest use so far
    assert "at most 25000000 pixels" in post(server, b64(*[file] * 4))[1]
    lines = (line.partition(":") for line in status.read_text().splitlines())
    memory = {k: int(v.split()[0]) for k, _, v in lines if k in ("VmHWM", "VmRSS")}
    assert memory["VmHWM"] - memory["VmRSS"] < 100_000  # kilobytes


@pytest.mark.parametrize("address", ["localhost:8501", "myserver"])
def test_the_client_says_what_an_address_should_be(address, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").touch()
    words = ["", "--model=tiny", f"--rest={address}", str(tmp_path / "a.png")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_path(str(CLIENT), run_name="__main__")
    assert "REST API, such as that of http://localhost:8501" in capsys.readouterr().err


@pytest.mark.parametrize(("api", "scheme"), [("rest", "http://"), ("grpc", "")])
def test_the_client_prints_classes_and_reports_what_is_refused(
    api, scheme, server, own, images, tmp_path, monkeypatch, capsys
):
    if api == "grpc":
        pytest.importorskip("tensorflow_serving")
    Image.fromarray(np.pad(images[0], ((4, 4), (4, 4), (0, 0)))).save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"text")
    address = f"{scheme}127.0.0.1:{getattr(server, api)}"
    files = [str(tmp_path / name) for name in ("missing.png", "bad.jpg", "good.png")]
    monkeypatch.setattr(sys, "argv", ["", "--model=tiny", f"--{api}={address}", *files])
    with pytest.raises(SystemExit, match="1"):
        runpy.run_path(str(CLIENT), run_name="__main__")
    printed = capsys.readouterr()
    best = own[0].argmax()
    assert printed.out.split()[:3] == [files[2], f"{own[0, best]:.2%}", NAMES[best]]
    assert f"{files[0]}: error:" in printed.err
    assert f"{files[1]}: error: " in printed.err
    assert "expected a JPEG, PNG or WebP file" in printed.err
