import http.server
import socket
import threading

import pytest

from keras_resnext.data.network import why_unreachable


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_that_answers(server):
    assert why_unreachable(f"{server}/there", 10) is None


def test_an_address_that_has_moved(server):
    assert "404" in why_unreachable(f"{server}/gone", 10)


def test_nobody_there(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "refused" in why_unreachable(f"http://127.0.0.1:{port}", 10)


def test_silence_is_given_up(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        reason = why_unreachable(f"http://127.0.0.1:{port}", 0.2)
    assert "no answer in 0.2 seconds" in reason or "timed out" in reason
