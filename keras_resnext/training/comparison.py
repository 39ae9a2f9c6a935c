"""The same training on each backend, side by side."""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from keras_resnext.backend import BACKENDS
from keras_resnext.files import write_text, written_whole
from keras_resnext.plotting import new_figure
from keras_resnext.training.network import resolved
from keras_resnext.training.settings import Settings

COMPARED_STEPS = 20
TOLERANCE = 1e-3

SETTINGS = Settings(
    dataset="cifar100",
    model="resnext11",
    epochs=2,
    batch_size=60,
    learning_rate=0.01,
    schedule="cosine",
    # Rounding differs between backends. Where it turns a pre-activation's sign, a ReLU jumps and
    # gradients change by a thousandth at once; from then on the runs part, faster with larger
    # steps. A rising learning rate keeps the first losses comparable.
    warmup_epochs=1.0,
    crop_padding=4,
    precision="float32",
)


@dataclass(frozen=True)
class Comparison:
    """Train one small ResNeXt on each backend from the same weights and batches, and compare.

    Writes losses.csv, comparison.md and comparison.png to OUTPUT_DIR.
    """

    output_dir: Path
    """Folder for the results."""
    dataset: Literal["cifar100", "demo"] = "cifar100"
    """Data set."""
    data_dir: Path | None = None
    """Where the official CIFAR-100 archive or folder lies; left out: TensorFlow Datasets."""
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] = BACKENDS
    """Which backends; the first makes the initial weights."""
    epochs: int = SETTINGS.epochs
    """Passes over the training images."""
    max_steps: int | None = None
    """Stop after so many steps; left out: train all epochs."""
    batch_size: int = SETTINGS.batch_size
    """Images a step."""
    learning_rate: float = SETTINGS.learning_rate
    """Highest learning rate; it rises over one epoch, then falls along a cosine."""
    seed: int = SETTINGS.seed
    """Of initial weights, order and augmentation."""

    def settings(self) -> Settings:
        """Settings of the training."""
        return resolved(
            replace(
                SETTINGS,
                dataset=self.dataset,
                data_dir=self.data_dir,
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=self.seed,
            )
        )


def compare(comparison: Comparison) -> bool:
    """Run a comparison, and write its results.

    Returns:
        Whether the first losses agree within `TOLERANCE`.

    Raises:
        RuntimeError: training failed on a backend.
        ValueError: a setting is out of range.
    """
    settings = comparison.settings()
    comparison.output_dir.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for backend in comparison.backends:
            print(f"--- {backend}", flush=True)
            results[backend] = _run(backend, settings, comparison.max_steps, Path(scratch))
    losses = {backend: result["losses"] for backend, result in results.items()}
    write_text(comparison.output_dir / "losses.csv", _csv(losses))
    write_text(comparison.output_dir / "comparison.md", _markdown(results, settings))
    _draw(losses, comparison.output_dir / "comparison.png")
    worst = max(relative_differences(losses)[:COMPARED_STEPS])
    print(
        f"Largest relative difference of the first {COMPARED_STEPS} losses: {worst:.2e} "
        f"(bound {TOLERANCE:g}). Written to {comparison.output_dir}"
    )
    return worst < TOLERANCE


def relative_differences(losses: dict[str, list[float]]) -> list[float]:
    """(largest - smallest) / smallest loss of each step, over the backends."""
    values = np.array(list(losses.values()))
    return ((values.max(axis=0) - values.min(axis=0)) / values.min(axis=0)).tolist()


def _run(backend: str, settings: Settings, max_steps: int | None, scratch: Path) -> dict:
    job, output = scratch / f"{backend}-job.json", scratch / f"{backend}.json"
    values = {
        "settings": settings.to_toml(),
        "weights": str(scratch / "initial.weights.h5"),
        "max_steps": max_steps,
        "output": str(output),
    }
    write_text(job, json.dumps(values))
    command = [sys.executable, "-m", "keras_resnext.training.comparison_worker", str(job)]
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    if subprocess.run(command, env=environment).returncode:
        raise RuntimeError(f"training failed on {backend}; its error is above")
    return json.loads(output.read_text(encoding="utf-8"))


def _csv(losses: dict[str, list[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *losses, "relative_difference"])
    columns = zip(*losses.values(), relative_differences(losses), strict=True)
    writer.writerows([step, *row] for step, row in enumerate(columns, start=1))
    return text.getvalue()


def _markdown(results: dict[str, dict], settings: Settings) -> str:
    losses = {backend: result["losses"] for backend, result in results.items()}
    differences = relative_differences(losses)
    worst = max(differences[:COMPARED_STEPS])
    verdict = "within" if worst < TOLERANCE else "NOT within"
    versions = ", ".join(
        f"{name} {version}"
        for name, version in next(iter(results.values()))["environment"]["packages"].items()
    )
    lines = [
        f"# {settings.model} on {settings.dataset}, the same run on each backend",
        "",
        "Same initial weights, same batches, float32; each backend in a process of its own.",
        f"{len(differences)} steps of {settings.batch_size} images. {versions}.",
        "",
        "| | " + " | ".join(results) + " |",
        "|---" * (1 + len(results)) + "|",
        _row("test accuracy", [f"{result['test_accuracy']:.2%}" for result in results.values()]),
        _row("last loss", [f"{values[-1]:.4f}" for values in losses.values()]),
        "",
        f"Largest relative difference of the first {COMPARED_STEPS} losses: {worst:.2e}, "
        f"{verdict} {TOLERANCE:g}.",
        "",
        "| step | " + " | ".join(losses) + " | relative difference |",
        "|---" * (2 + len(losses)) + "|",
    ]
    for step in range(min(COMPARED_STEPS, len(differences))):
        values = [f"{values[step]:.6f}" for values in losses.values()]
        lines.append(_row(str(step + 1), [*values, f"{differences[step]:.1e}"]))
    return "\n".join(lines) + "\n"


def _row(title, cells):
    return f"| {title} | " + " | ".join(cells) + " |"


def _draw(losses: dict[str, list[float]], path: Path) -> None:
    figure = new_figure(figsize=(11, 4.2), layout="constrained")
    curves, difference = figure.subplots(1, 2)
    steps = np.arange(1, len(next(iter(losses.values()))) + 1)
    window = max(1, len(steps) // 100)
    for backend, style in zip(losses, ("-", "--", ":"), strict=False):
        smooth = np.convolve(losses[backend], np.ones(window) / window, "valid")
        curves.plot(steps[window - 1 :], smooth, style, label=backend)
    curves.set_title(f"loss, mean of {window} steps" if window > 1 else "loss")
    curves.legend()
    difference.semilogy(steps, np.maximum(relative_differences(losses), 1e-9), color="C3")
    difference.axhline(TOLERANCE, color="0.4", linestyle="--")
    difference.axvline(COMPARED_STEPS, color="0.4", linestyle=":")
    difference.set_title(f"largest relative difference; bound for the first {COMPARED_STEPS} steps")
    for axes in (curves, difference):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=120)
