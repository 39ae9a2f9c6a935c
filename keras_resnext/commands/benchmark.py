"""The command line of `scripts/benchmark.py`."""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keras_resnext.backend import BACKENDS, Backend
from keras_resnext.benchmark.layers import compare_layers
from keras_resnext.benchmark.pipeline import measure_pipeline
from keras_resnext.benchmark.serving import compare_serving
from keras_resnext.benchmark.steps import compare_steps, compare_with_plain_keras
from keras_resnext.commands.line import parse, status
from keras_resnext.files import write_text
from keras_resnext.training.environment import versions


@dataclass(frozen=True)
class Benchmark:
    """Measure speed as ratios, both sides in one run. Prints Markdown."""

    what: Literal["all", "steps", "plain-keras", "layers", "pipeline", "serving"] = "all"
    """`steps`: a training step of the CIFAR ResNeXt-50 32x4d by `model.fit`, against plain PyTorch.
    `plain-keras`: the same against Keras' own layers, minutes long.
    `layers`: every lowering of single convolutions, beside plain Keras.
    `pipeline`: reading and augmenting alone.
    `serving`: inference of the exported ResNeXt-50 32x4d on 224x224 pixels, against PyTorch."""
    backends: tuple[Backend, ...] = BACKENDS
    """Keras backends to measure."""
    batch_size: int = 32
    """Images a step."""
    plain_keras_batch_size: int = 8
    """Images a step against plain Keras."""
    rounds: int = 7
    """Turns of each contestant in `steps`."""
    steps: int = 2
    """Training steps a turn."""
    repeats: int = 5
    """Calls a measurement in `layers`."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Dtype policy of the training steps."""
    output: Path | None = None
    """Also write the tables to this file."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure and print.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error.
    """
    return status(lambda: _main(parse(Benchmark, arguments)))


def _main(settings: Benchmark) -> int:
    report = ""
    for section in (_title(), *_sections(settings)):
        print(section, end="\n\n", flush=True)
        report += f"{section}\n\n"
    if settings.output:
        write_text(settings.output, report.rstrip() + "\n")
    return 0


def _sections(settings: Benchmark):
    def wanted(name: str) -> bool:
        return settings.what in (name, "all")

    if wanted("steps"):
        table = compare_steps(
            settings.backends,
            settings.batch_size,
            settings.rounds,
            settings.steps,
            settings.precision,
        )
        yield f"## Training step, batch {settings.batch_size}, {settings.precision}\n\n{table}"
    if wanted("plain-keras"):
        compiled = tuple(b for b in settings.backends if b != "torch")
        size = settings.plain_keras_batch_size
        table = compare_with_plain_keras(compiled, size, settings.precision)
        yield f"## Against plain Keras, batch {size}, {settings.precision}\n\n{table}"
    if wanted("layers"):
        table = compare_layers(settings.backends, settings.batch_size, settings.repeats)
        yield f"## Single convolutions, batch {settings.batch_size}, float32\n\n{table}"
    if wanted("pipeline"):
        yield f"## Data pipeline, batch 128, one thread\n\n{measure_pipeline(128, 200)}"
    if wanted("serving"):
        table = compare_serving((1, 32), settings.rounds, settings.steps)
        yield f"## Inference, 224x224, float32\n\n{table}"


def _title() -> str:
    packages = ", ".join(f"{package} {version}" for package, version in versions().items())
    command = " ".join(["python", "scripts/benchmark.py", *sys.argv[1:]])
    return (
        f"# Benchmark\n\n`{command}`\n\n{platform.platform()}, {platform.machine()}, "
        f"{os.cpu_count()} cores; Python {platform.python_version()}, {packages}"
    )
