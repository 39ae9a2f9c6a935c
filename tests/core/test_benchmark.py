"""The scripts that measure speed: they run, and compare with the same network."""

import csv
import runpy
import sys
from pathlib import Path

import pytest

from keras_resnext import ResNeXt, backend

SCRIPTS = Path(__file__).parents[2] / "scripts/benchmark"


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script in this process; returns what it prints."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / name), *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.skipif(backend.NAME != "torch", reason="the peer is PyTorch's under every backend")
@pytest.mark.parametrize("reduce", ["dense", "grouped"])
def test_plain_pytorchs_network_has_as_many_weights(monkeypatch, reduce):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    torch_network = pytest.importorskip("torch_network")
    ours = ResNeXt((1, 2), cardinality=4, reduce=reduce, classes=5)
    theirs = torch_network.ResNeXt((1, 2), 4, grouped_reduce=reduce == "grouped", classes=5)
    shapes = sorted(sorted(v.shape) for v in ours.trainable_variables)
    per_group = sorted(sorted(p.shape) for p in theirs.parameters())
    assert shapes == per_group
    imagenet = torch_network.ResNeXt((3, 4, 6, 3), classes=1000, large=True)
    assert sum(p.numel() for p in imagenet.parameters()) == 25_028_904  # torchvision's


@pytest.mark.skipif(backend.NAME != "torch", reason="it starts processes under each backend")
def test_speed(script, tmp_path):
    """The first of each race is compared with itself; files are there after the first race."""
    small = ["--tasks", "train", "--models", "resnext20_8x8d", "--batch-sizes", "2"]
    quick = ["--rounds", "1", "--seconds", "0", "--contestants", "PyTorch", "keras_resnext"]
    printed = script("speed.py", *small, *quick, "--backends", "torch", "--output-dir", tmp_path)
    assert "| 1.00 (1.00 to 1.00) |" in printed
    with open(tmp_path / "speed.csv") as file:
        peer, ours = csv.DictReader(file)
    assert (peer["contestant"], ours["contestant"]) == ("PyTorch", "keras_resnext, torch")
    assert float(ours["memory_mib"]) > 100
    assert (tmp_path / "speed.png").stat().st_size > 1000
    assert "| PyTorch |" in (tmp_path / "speed.md").read_text()


@pytest.mark.skipif(backend.NAME != "torch", reason="once is enough")
def test_growth(script, monkeypatch, tmp_path):
    """The line through what was measured; that it is measured, `test_speed` shows."""
    rows = [{"step_ms": ms, "memory_mib": mib} for ms, mib in ((20, 9), (35, 12), (50, 15))]
    monkeypatch.setattr("turns.race", lambda *arguments: rows)
    output = tmp_path / "growth.md"
    printed = script("growth.py", "--factors", "blocks", "--backends", "torch", "--output", output)
    assert "| blocks | 3 | 6 | 9 |" in printed
    assert "Step: 5 ms and 5 ms each (R² 1.000). Memory: 6 MiB and 1 MiB each" in printed
    assert output.read_text().strip() == printed.strip()


@pytest.mark.skipif(backend.NAME != "torch", reason="once is enough")
def test_pipeline(script):
    quick = "--augmentations", "crop and flip", "--batch-size", "400", "--epochs", "1"
    assert "| crop and flip |" in script("pipeline.py", *quick)
