"""Over the wire, against a server that loads as TensorFlow Serving does."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.export.tensorflow.encoded import KINDS, encode, picture
from tests.export.tensorflow.test_decoding import bomb

SCRIPT = Path(__file__).parents[2] / "scripts/serve_client.py"


@pytest.fixture(scope="module")
def server(export):
    process = subprocess.Popen(
        [sys.executable, "-P", Path(__file__).with_name("server.py"), export.folder, "tiny"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield SimpleNamespace(**json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def post(server, body, path="/v1/models/tiny:predict"):
    """The answer, or the error, and its status."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.rest}{path}", body)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def b64(*files):
    instances = [{"b64": base64.b64encode(file).decode()} for file in files]
    return {"signature_name": "serve_bytes", "instances": instances}


def png(array):
    return encode(Image.fromarray(array), "PNG")


@pytest.fixture
def still_serves(server, export, dataset):
    """After whatever the test did."""
    yield
    status, answer = post(server, {"instances": dataset.test.images[:1].tolist()})
    assert status == 200
    found = answer["predictions"][0]["probabilities"]
    np.testing.assert_allclose(found, export.probabilities[0], atol=1e-4)


def test_warmup_requests_of_every_signature_are_replayed(server):
    pytest.importorskip("tensorflow_serving", reason="it has the messages")
    assert server.replayed == 3


@pytest.mark.parametrize("signature", ["serving_default", "serve_uint8"])
def test_rest_by_row_and_by_column(server, export, dataset, signature):
    images = dataset.test.images.tolist()
    _, rows = post(server, {"signature_name": signature, "instances": images})
    _, columns = post(
        server,
        {"signature_name": signature, "inputs": images},
        "/v1/models/tiny/versions/1:predict",
    )
    found = [row["probabilities"] for row in rows["predictions"]]
    np.testing.assert_allclose(found, export.probabilities, atol=1e-4)
    np.testing.assert_allclose(columns["outputs"]["probabilities"], found, atol=1e-6)
    logits = np.array(columns["outputs"]["logits"])
    np.testing.assert_allclose(
        np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), found, atol=1e-5
    )


def test_files_give_the_likeliest_classes_by_name(server, export, dataset):
    _, answer = post(server, b64(*map(png, dataset.test.images)))
    for row, probabilities in zip(answer["predictions"], export.probabilities, strict=True):
        order = np.argsort(-probabilities)[:5]
        assert row["classes"] == [dataset.class_names[label] for label in order]
        np.testing.assert_allclose(row["scores"], probabilities[order], atol=1e-4)


def test_a_batch_of_files_of_every_kind_and_size(server):
    files = [encode(picture(20 + 9 * n, 70), kind) for n, kind in enumerate(KINDS)]
    status, answer = post(server, b64(*files))
    assert status == 200
    assert len(answer["predictions"]) == len(files)


def test_many_clients_at_once_each_get_their_own_answer(server, export, dataset):
    def ask(index):
        _, answer = post(server, b64(png(dataset.test.images[index])))
        return answer["predictions"][0]["scores"][0]

    indices = np.arange(60) % len(dataset.test)
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(ask, indices))
    np.testing.assert_allclose(found, export.probabilities[indices].max(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "Expecting property name"),
        ({"instances": [[1, 2], [3]]}, "inhomogeneous"),
        ({"instances": []}, "EnsureShape"),
        ({"instances": np.zeros((1, 33, 32, 3)).tolist()}, r"[1,33,32,3] is not compatible"),
        ({"instances": np.zeros((32, 32, 3)).tolist()}, r"[32,32,3] is not compatible"),
        ({"instances": np.zeros((1, 32, 32, 1)).tolist()}, r"[1,32,32,1] is not compatible"),
        ({"instances": [["text"]]}, "could not convert string to float"),
        ({"inputs": np.zeros((0, 32, 32, 3)).tolist()}, "EnsureShape"),
        ({"signature_name": "serve_bytes", "instances": []}, "got none"),
        ({"signature_name": "classify", "instances": [1]}, "not found"),
        (b64(b""), "expected a JPEG, PNG, GIF or WebP file"),
        (b64(b"text"), "expected a JPEG, PNG, GIF or WebP file"),
        (b64(encode(picture(64, 64), "JPEG")[:900]), "Invalid JPEG"),
        (b64(encode(picture(9, 9), "PNG"), bomb("PNG")), "at most 25000000 pixels"),
    ],
)
@pytest.mark.usefixtures("still_serves")
def test_a_bad_request_gets_an_error_and_the_server_goes_on(server, body, message):
    status, error = post(server, body)
    assert status == 400
    assert message in error


@pytest.mark.usefixtures("still_serves")
def test_a_hundred_megapixels_take_no_memory(server):
    """One bit a pixel: twelve kilobytes of PNG that decode to 300 MB."""
    file = encode(Image.new("1", (10_000, 10_000)), "PNG")
    status = Path(f"/proc/{server.process}/status")
    if status.exists():
        status.with_name("clear_refs").write_text("5")  # forget the highest use so far
    assert "at most 25000000 pixels" in post(server, b64(*[file] * 4))[1]
    if status.exists():
        memory = {
            key: int(value.split()[0])
            for key, _, value in (line.partition(":") for line in status.read_text().splitlines())
            if key in ("VmHWM", "VmRSS")
        }
        assert memory["VmHWM"] - memory["VmRSS"] < 100_000  # kilobytes


def test_grpc_answers_and_refuses(server, export, dataset):
    pytest.importorskip("tensorflow_serving", reason="it has the messages")
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def predict(model="tiny", signature="serve_uint8", **inputs):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            return stub.Predict(request, timeout=60).outputs

        images = dataset.test.images
        for message, arguments in {
            "got none": {"images": images[:0]},
            "is not compatible": {"images": images[0]},
            "to be uint8 but float": {"images": images.astype(np.float32)},
            "expected inputs": {"pictures": images},
            "Servable not found": {"model": "other", "images": images},
            "expected a JPEG": {"signature": "serve_bytes", "image_bytes": [b"text"]},
            "Shape of tensor": {"signature": "serve_bytes", "image_bytes": b"no batch"},
        }.items():
            with pytest.raises(grpc.RpcError) as refused:
                predict(**arguments)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert message in refused.value.details()
        found = tf.make_ndarray(predict(images=images)["probabilities"])
        np.testing.assert_allclose(found, export.probabilities, atol=1e-4)


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_the_client_prints_classes_and_reports_what_is_refused(
    server, export, dataset, tmp_path, api
):
    if api == "grpc":
        pytest.importorskip("tensorflow_serving")
    (tmp_path / "good.png").write_bytes(png(dataset.test.images[0]))
    (tmp_path / "bad.jpg").write_bytes(b"text")
    address = {
        "rest": f"--rest=http://127.0.0.1:{server.rest}",
        "grpc": f"--grpc=127.0.0.1:{server.grpc}",
    }
    files = [tmp_path / name for name in ("missing.png", "bad.jpg", "good.png")]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--model", "tiny", address[api], *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == str(files[2])
    best = export.probabilities[0].argmax()
    first = f"{export.probabilities[0, best]:7.2%}  {dataset.class_names[best]}"
    assert done.stdout.splitlines()[1].strip() == first.strip()
    assert f"{files[0]}: error:" in done.stderr
    assert f"{files[1]}: error:" in done.stderr
    assert "expected a JPEG, PNG, GIF or WebP file" in done.stderr
