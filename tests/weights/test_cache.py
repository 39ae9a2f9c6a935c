import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from keras_resnext.presets import PRESETS
from keras_resnext.weights import cache
from keras_resnext.weights.cache import cache_folder, cached, fetch

CONTENT = b"weights" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `CONTENT` as any file, or what a test makes of it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.content, self.length = 200, CONTENT, len(CONTENT)
        self.requests = []
        self.before_content = lambda: None
        self.silence = threading.Event()
        self.is_silent = False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.requests.append(self.command)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.server.before_content()
        self.wfile.write(self.server.content)
        if self.server.is_silent:
            self.server.silence.wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.silence.set()
        server.shutdown()
        thread.join()


def preset_of(server, digest=f"sha256:{SHA256[:8]}", **changes):
    url = f"http://127.0.0.1:{server.server_port}/models/original-1234.pth?download=1"
    preset = PRESETS["resnext50_32x4d.tv_in1k"]
    return replace(preset, name="resnext.made", url=url, digest=digest, **changes)


def convert(original, converted):
    converted.write_bytes(b"converted " + original.read_bytes())


def left():
    return sorted(path.name for path in cache_folder().iterdir())


def test_downloads_and_converts_once(server, tmp_path, capsys):
    preset = preset_of(server)
    path = cached(preset, convert)
    assert path == tmp_path / f"home/models/keras_resnext/resnext.made-{SHA256[:8]}.h5"
    assert path.read_bytes() == b"converted " + CONTENT
    assert left() == [path.name]
    out = capsys.readouterr().out
    assert f"Downloading data from {preset.url}" in out
    assert "commercial" not in out
    assert server.requests == ["HEAD", "GET"]

    assert cached(preset, None) == path
    assert capsys.readouterr().out == ""
    assert server.requests == ["HEAD", "GET"]  # works without the network


@pytest.mark.parametrize(
    ("digest", "label"),
    [(f"md5:{MD5}", MD5[:8]), (f"sha256:{SHA256}", SHA256[:8]), (None, None)],
)
def test_what_publishers_state(server, digest, label):
    path = cached(preset_of(server, digest), convert)
    assert path.read_bytes() == b"converted " + CONTENT
    assert label is None or path.name == f"resnext.made-{label}.h5"


def test_another_file_of_the_publisher_is_another_in_the_cache(server):
    first = cached(preset_of(server), convert)
    server.content = bytes(len(CONTENT))
    digest = hashlib.sha256(server.content).hexdigest()
    assert cached(preset_of(server, f"sha256:{digest[:8]}"), convert) != first


def test_who_may_use_them(server, capsys):
    preset = preset_of(server, licence="CC-BY-NC-4.0", source="https://publisher.example/page")
    cached(preset, convert)
    told = [line for line in capsys.readouterr().out.splitlines() if "non-commercial" in line]
    assert told == [
        "resnext.made: licensed for non-commercial use only (CC-BY-NC-4.0), see "
        "https://publisher.example/page"
    ]
    cached(preset, convert)
    assert capsys.readouterr().out == ""


def assert_told_what_to_do(preset, get=cached):
    """In one paragraph; nothing is left."""
    with pytest.raises(ConnectionError) as raised:
        get(preset, convert)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.endswith(
        f"download that URL in a browser and put the file to {cache_folder()}/original-1234.pth"
    )
    assert preset.url in message
    assert not cache_folder().exists() or left() == []
    assert socket.getdefaulttimeout() is None
    return message


def test_nobody_there(server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    preset = preset_of(server)
    preset = replace(preset, url=preset.url.replace(str(server.server_port), str(port)))
    assert "Connection refused" in assert_told_what_to_do(preset)


@pytest.mark.parametrize(
    ("status", "message"), [(404, "404: Not Found"), (403, "403: Forbidden"), (500, "500: Int")]
)
def test_a_server_that_says_no(server, status, message):
    server.status = status
    assert message in assert_told_what_to_do(preset_of(server))
    assert "GET" not in server.requests


def test_a_server_that_says_no_when_it_is_asked_for_the_file(server, monkeypatch):
    monkeypatch.setattr(cache, "why_unreachable", lambda *_: None)
    server.status = 404
    assert "404 -- Not Found" in assert_told_what_to_do(preset_of(server))


def test_another_file_than_the_publisher_states(server):
    message = assert_told_what_to_do(preset_of(server, "sha256:01234567"))
    assert f"sha256 {SHA256[:8]}, the publisher states 01234567" in message


@pytest.mark.parametrize("digest", [None, f"sha256:{SHA256[:8]}"])
def test_a_transfer_that_is_cut(server, digest):
    server.content = CONTENT[:300_000]
    message = assert_told_what_to_do(preset_of(server, digest))
    assert "got only 300000 out of 700000 bytes" in message


def test_a_server_that_is_silent(server, monkeypatch):
    monkeypatch.setattr(cache, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(Handler, "do_HEAD", lambda handler: server.silence.wait(60))
    message = assert_told_what_to_do(preset_of(server))
    assert "no answer" in message or "timed out" in message


def test_a_server_that_falls_silent(server, monkeypatch):
    monkeypatch.setattr(cache, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(cache, "why_unreachable", lambda *_: None)
    server.content, server.is_silent = CONTENT[:1000], True
    assert "timed out" in assert_told_what_to_do(preset_of(server))


def test_a_file_that_a_user_put_there(server):
    cache_folder().mkdir(parents=True)
    original = cache_folder() / "original-1234.pth"
    original.write_bytes(CONTENT)
    path = cached(preset_of(server), convert)
    assert path.read_bytes() == b"converted " + CONTENT
    assert server.requests == []
    assert left() == sorted([original.name, path.name])
    assert fetch(preset_of(server)) == original


@pytest.mark.parametrize("get", [lambda preset: cached(preset, convert), fetch])
def test_a_wrong_file_that_a_user_put_there(server, get):
    cache_folder().mkdir(parents=True)
    (cache_folder() / "original-1234.pth").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"original-1234\.pth is not the file of http.*Remove it"):
        get(preset_of(server))
    assert left() == ["original-1234.pth"]
    assert server.requests == []


def test_the_publishers_file_itself(server):
    preset = preset_of(server)
    path = fetch(preset)
    assert path == cache_folder() / "original-1234.pth"
    assert path.read_bytes() == CONTENT
    assert fetch(preset) == path
    assert server.requests == ["HEAD", "GET"]
    assert left() == [path.name]


@pytest.mark.parametrize("error", [ValueError("does not fit"), KeyboardInterrupt()])
def test_a_conversion_that_fails(server, error):
    def fail(original, converted):
        converted.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)) as raised:
        cached(preset_of(server), fail)
    assert raised.value is error
    assert left() == []
    assert cached(preset_of(server), convert).read_bytes() == b"converted " + CONTENT


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(OSError, match=r"cannot write to .*keras_resnext: .*set KERAS_HOME"):
        cached(preset_of(server), convert)
    assert server.requests == []


def test_where_keras_keeps_what_it_downloads(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".keras/models/keras_resnext"


CHILD = """
import os, signal, sys
from dataclasses import replace
from keras_resnext.presets import PRESETS
from keras_resnext.weights import cache

url, digest, end = sys.argv[1:]
def convert(original, converted):
    content = original.read_bytes()
    converted.write_bytes(content[:1000])
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    converted.write_bytes(b"converted " + content)

cache.SILENCE_SECONDS = 300
preset = replace(PRESETS["resnext50_32x4d.tv_in1k"], name="resnext.made", url=url, digest=digest)
cache.cached(preset, convert)
"""


def test_processes_at_once_one_of_them_killed(server, monkeypatch):
    """Each begins its transfer before any has ended it."""
    monkeypatch.setattr(cache, "SILENCE_SECONDS", 300)
    server.before_content = threading.Barrier(3, timeout=300).wait
    preset = preset_of(server)
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, preset.url, preset.digest, end])
        for end in ("well", "killed")
    ]
    path = cached(preset, convert)
    assert [child.wait(300) for child in children] == [0, -9]
    assert path.read_bytes() == b"converted " + CONTENT
    folder, name = left()
    assert name == path.name
    assert folder.startswith(".writing-")
    assert sorted(os.listdir(cache_folder() / folder)) == ["original-1234.pth", path.name]
