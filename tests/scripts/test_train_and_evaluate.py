import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / "scripts" / script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process, pattern, folder, seconds=120):
    end = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.05)


def test_train_ctrl_c_resume_evaluate(tmp_path):
    run = tmp_path / "mine"
    options = "--epochs 1 --warmup-epochs 0 --batch-size 240 --cardinality 2 --checkpoint-every 1"
    common = ["--output-dir", tmp_path, "--run-name", "mine"]

    process = start("train.py", *options.split(), *common)
    wait_for(process, "checkpoints/*.json", run)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    resume = re.search(r"continue with: python scripts/train.py (.*)", output)[1]
    assert not (run / "results.json").exists()
    assert "Traceback" not in output

    process = start("train.py", *resume.split())
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    results = json.loads((run / "results.json").read_text())
    assert f"{results['test_accuracy_best']:.2%}" in output

    process = start("evaluate.py", run)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    report = json.loads((run / "evaluation/test/report.json").read_text())
    assert report["top1"] == results["test_accuracy_best"]
    with open(run / "evaluation/test/classes.csv") as file:
        assert len(list(csv.DictReader(file))) == 12
