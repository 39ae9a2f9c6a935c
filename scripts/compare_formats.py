"""Accuracy of a network on the test split: by each backend, and in each format `predict` runs."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from keras_resnext import evaluate, export, open_checkpoint
from keras_resnext.backend import BACKENDS
from keras_resnext.data import Dataset, load_dataset
from keras_resnext.files import markdown_table, write_text

FORMATS = ("saved_model", "onnx", "litert", "openvino", "onnx-int8", "litert-int8")
Row = tuple[str, int | None, float, float]  # what, bytes, top-1, top-5


def by_backends(checkpoint: str, data_dir: str, folder: Path) -> Iterator[Row]:
    """Evaluate in a process per backend."""
    for backend in BACKENDS:
        command = [sys.executable, str(Path(__file__).with_name("evaluate.py")), checkpoint]
        command += ["--dataset", "cifar100", "--data-dir", data_dir, "--output-dir", str(folder)]
        subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": backend})
        report = json.loads((folder / "report.json").read_text())
        yield backend, None, report["top1"], report["top5"]


def by_formats(checkpoint: str, dataset: Dataset, folder: Path) -> Iterator[Row]:
    """Export, and evaluate in the format's own runtime."""
    for format in FORMATS:
        exported = export(checkpoint, folder / format, format, dataset=dataset)
        size = sum(file.stat().st_size for file in exported.rglob("*") if file.is_file())
        report = evaluate(exported, dataset)
        yield format, size, report.top1, report.top5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="cifar100", help="a network for CIFAR-100")
    parser.add_argument("--data-dir", required=True, help="where the CIFAR-100 archive lies")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    options = parser.parse_args(arguments)
    if not options.output.absolute().parent.is_dir():
        parser.error(f"--output: there is no folder {options.output.parent}")
    dataset = load_dataset("cifar100", options.data_dir)
    checkpoint = open_checkpoint(options.checkpoint)
    rows: list[Row] = []
    with TemporaryDirectory() as name:
        rows += by_backends(options.checkpoint, options.data_dir, Path(name))
        rows += by_formats(options.checkpoint, dataset, Path(name))
    cells = (
        (what, f"{size / 1e6:.1f}" if size else None, f"{top1:.2%}", f"{top5:.2%}")
        for what, size, top1, top5 in rows
    )
    text = markdown_table(("under or in", "MB", "top-1", "top-5"), cells)
    title = f"# `{checkpoint.name}`, {checkpoint.architecture}, on CIFAR-100's test images"
    write_text(options.output, f"{title}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
