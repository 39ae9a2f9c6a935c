"""The hub, against a small server on 127.0.0.1 that answers as huggingface.co does."""

import hashlib
import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import create_autospec

import keras
import pytest
from huggingface_hub import HfApi, close_session, constants

from keras_resnext import ResNeXt, from_preset, open_checkpoint
from keras_resnext.architecture import Architecture
from keras_resnext.publishing import push_to_hub
from keras_resnext.weights import layers
from keras_resnext.weights.presets import PRESETS
from tests.weights.test_checkpoint import CLASSES, assert_same, network, write

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="depends on no backend, and takes a while"
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Serves `files` of repositories by "owner/name/file"; `cuts` transfers break off half-way."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    cuts: int
    gated: set[str]
    seen: list[str]

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.seen.append(f"{self.command} {self.path}")
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        file = rest.partition("/")[2]
        if repository in self.gated:
            return self.answer(403, X_Error_Code="GatedRepo")
        if not any(name.startswith(f"{repository}/") for name in self.files):
            return self.answer(404, X_Error_Code="RepoNotFound")
        if f"{repository}/{file}" not in self.files:
            return self.answer(404, X_Error_Code="EntryNotFound")
        content = self.files[f"{repository}/{file}"]
        headers = dict(ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=COMMIT)
        begin = int(re.findall(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[0])
        left = content[begin:]
        length = dict(Content_Length=str(len(left)), Accept_Ranges="bytes")
        if begin:
            length["Content_Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if self.command == "GET" and len(left) > 10_000 and self.cuts:
            type(self).cuts -= 1
            left = left[: len(left) // 2]
            self.close_connection = True
        return self.answer(206 if begin else 200, left, **headers, **length)

    def do_POST(self):
        """Make a repository."""
        made = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("authorization") != "Bearer hf_good":
            return self.answer(401, b"{}")
        answer = {"url": f"{constants.ENDPOINT}/{made['organization']}/{made['name']}"}
        return self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")


def at(endpoint, monkeypatch):
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    handler = type("Handler", (Hub,), dict(files={}, cuts=0, gated=set(), seen=[]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    at(endpoint, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    close_session()
    yield handler
    server.shutdown()
    server.server_close()
    close_session()


def publish(hub, repository, folder):
    for path in folder.iterdir():
        hub.files[f"{repository}/{path.name}"] = path.read_bytes()


def error(name="hf://someone/animals"):
    with pytest.raises((ValueError, ConnectionError)) as caught:
        open_checkpoint(name).weights()
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_a_repository_with_classes_of_its_own(hub, tmp_path, monkeypatch):
    model = network()
    publish(hub, "someone/animals", write(tmp_path / "run", model, license="mit"))
    hub.cuts = 1  # the library resumes
    found = open_checkpoint("hf://someone/animals")
    assert (found.name, found.class_names, found.license) == ("run", CLASSES, "mit")
    assert found.source == "https://huggingface.co/someone/animals"
    assert not any("safetensors" in line for line in hub.seen)
    assert_same(from_preset("hf://someone/animals"), model)
    assert hub.cuts == 0
    requests = len(hub.seen)
    hub.files.clear()
    hub.files["someone/other/x"] = b""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    from_preset("hf://someone/animals")  # out of the cache
    offline = error("hf://someone/else")
    assert "config.json is not in the cache, " in str(offline)
    assert "HF_HUB_OFFLINE is set; unset it" in str(offline)
    assert len(hub.seen) == requests


def test_what_cannot_be_downloaded_is_said_in_one_line(hub, tmp_path):
    told = str(error())
    assert f"is not at {constants.ENDPOINT}; if it is private, `hf auth login`" in told
    hub.files["someone/animals/README.md"] = b""
    assert "hf://someone/animals holds no config.json; expected timm" in str(error())
    publish(hub, "someone/animals", write(tmp_path / "run", network()))
    hub.cuts = 100
    assert "model.safetensors was not transferred (" in str(error())
    assert isinstance(error(), ConnectionError)
    hub.gated.add("someone/animals")
    assert "is gated: accept its terms at http://127" in str(error("hf://someone/animals@v2"))


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("http://127.0.0.1:9", "refused"), ("http://nowhere.invalid", "its name is unknown here")],
)
def test_no_network_at_all(hub, monkeypatch, endpoint, reason):
    at(endpoint, monkeypatch)
    told = error("resnext50_32x4d.a1_in1k")
    assert isinstance(told, ConnectionError)
    assert f"{endpoint} cannot be reached (" in str(told)
    assert reason in str(told)
    assert str(told).endswith("check the connection and try again; what was received is kept")


def test_a_preset_is_timms_repository_and_its_license_is_told_once(
    hub, tmp_path, caplog, monkeypatch
):
    """`weights=` by tag, by name and by the recommended ones; here of a small network."""
    model, small = network(), Architecture((1, 1), cardinality=4)
    names = ("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", "resnext50_32x4d.tv2_in1k")
    for name in names:
        made = replace(PRESETS[name], architecture=small, classes=3)
        monkeypatch.setitem(PRESETS, name, made)
        publish(hub, f"timm/{name}", write(tmp_path / name, model, class_names=None))
    layers._announced.clear()
    for _ in range(2):
        assert_same(from_preset(names[0]), model)
        assert caplog.text.count(f"{names[0]}: CC-BY-NC-4.0 forbids commercial use") == 1
    with pytest.raises(ValueError, match=r"by their full name only: weights='resnext50_"):
        ResNeXt((1, 1), 4, weights="fb_swsl_ig1b_ft_in1k")
    for weights in ("imagenet", "tv2_in1k"):
        assert_same(ResNeXt((1, 1), 4, weights=weights), model)


def test_pushed_and_opened_again(hub, tmp_path, monkeypatch):
    def upload(api, *, repo_id, folder_path, commit_message):
        publish(hub, repo_id, folder_path)

    upload = create_autospec(HfApi.upload_folder, side_effect=upload)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    model = network()
    folder = write(tmp_path / "run", model, accuracy={"test top-1": 0.5})
    with pytest.raises(ValueError, match=r"not allowed \(401\); `hf auth login`"):
        push_to_hub(folder, "me/animals", token="hf_bad")
    url = push_to_hub(folder, "me/animals", token="hf_good")
    assert url == f"{constants.ENDPOINT}/me/animals"
    card = hub.files["me/animals/README.md"].decode()
    assert card.startswith("---\nlibrary_name: timm\n")
    for told in ('license: "apache-2.0"', "# me/animals", "three animals", "resized to 47", "`emu`",
                 "50.00 %"):  # fmt: skip
        assert told in card
    assert 'keras_resnext.from_preset("hf://me/animals")' in card
    found = open_checkpoint("hf://me/animals")
    assert (found.name, found.accuracy) == ("me/animals", {"test top-1": 0.5})
    assert_same(from_preset(found), model)
