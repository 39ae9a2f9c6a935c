import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_resnext import backend
from keras_resnext.backend import BackendError, check_backend


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretend that these backends are installed, and that no configuration file exists."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def pretend(*names):
        monkeypatch.setattr(backend, "find_spec", lambda name: name in names or None)

    return pretend


@pytest.mark.parametrize(
    ("chosen", "there", "message"),
    [
        (
            "jax",
            ["torch"],
            "'jax', which is not installed. Installed: torch. Type: export KERAS_BA",
        ),
        ("foo", ["jax", "torch"], "'foo', which is not one of tensorflow, jax, torch. Inst"),
        ("", ["jax"], r"KERAS_BACKEND is not set\) asks for the Keras backend 'tensorflow'"),
        ("jax", [], r'No backend is installed. Type: pip install "keras-resnext\[jax\]"'),
    ],
)
def test_says_what_is_wrong_and_what_to_type(installed, monkeypatch, chosen, there, message):
    installed(*there)
    monkeypatch.setenv("KERAS_BACKEND", chosen)
    with pytest.raises(BackendError, match=message):
        check_backend()


def test_reads_the_configuration_file_as_keras_does(installed, monkeypatch, tmp_path):
    installed("torch")
    monkeypatch.delenv("KERAS_BACKEND")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert check_backend() == "torch"
    (tmp_path / "keras.json").write_text("{")
    with pytest.raises(BackendError, match="'tensorflow'"):
        check_backend()


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "compare_backends.py"])
def test_scripts_end_in_one_line(script):
    path = Path(__file__).parents[1] / "scripts" / script
    environment = {**os.environ, "KERAS_BACKEND": "foo", "PYTHONPATH": str(path.parents[1])}
    result = subprocess.run(
        [sys.executable, path], env=environment, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: KERAS_BACKEND asks for 'foo', which is not one of")
