"""How step time and memory of training grow with batch size, cardinality, depth and image size.

One of them is varied at a time, around ResNeXt-20 8x8d on 32 images of 32x32 pixels. A straight
line through the measured points says what each image, group, block and pixel costs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from turns import BACKENDS, Contestant, Task, race, title

from keras_resnext.architecture import STAGE_BLOCKS
from keras_resnext.files import markdown_table, write_text

FACTORS: dict[str, dict[int, Task]] = {
    "images per batch": {n: Task("train", "resnext20_8x8d", n, 32) for n in (8, 16, 32, 64, 128)},
    "groups of 8 channels": {
        n: Task("train", f"resnext20_{n}x8d", 32, 32) for n in (2, 4, 8, 16, 32)
    },
    "blocks": {
        sum(STAGE_BLOCKS[name]): Task("train", f"{name}_8x8d", 32, 32)
        for name in ("resnext11", "resnext20", "resnext29")
    },
    "pixels per image": {
        size**2: Task("train", "resnext20_8x8d", 32, size) for size in (16, 24, 32, 48)
    },
}


def line(places: Sequence[int], values: Sequence[float], unit: str) -> str:
    """Return the line of least squares in words, with the share of the spread that it explains."""
    slope, offset = np.polyfit(places, values, 1)
    explained = np.corrcoef(places, values)[0, 1] ** 2
    return f"{offset:.0f} {unit} and {slope:.3g} {unit} each (R² {explained:.3f})"


def section(factor: str, backend: str, rounds: int, seconds: float) -> str:
    """Measure one factor under one backend; return a table and its two lines in Markdown."""
    tasks = FACTORS[factor]
    rows = race([Contestant("keras_resnext", each, backend) for each in tasks.values()],
                rounds, seconds)  # fmt: skip
    times = [row["step_ms"] for row in rows]
    memory = [row["memory_mib"] for row in rows]
    lines = [
        f"## {factor}, {backend}",
        "",
        markdown_table(
            [factor, *map(str, tasks)],
            [["step, ms", *(f"{value:.0f}" for value in times)], ["memory, MiB", *memory]],
        ),
        "",
        f"Step: {line(list(tasks), times, 'ms')}. Memory: {line(list(tasks), memory, 'MiB')}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--factors", nargs="+", default=list(FACTORS), choices=FACTORS)
    options.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    options.add_argument("--rounds", type=int, default=3, help="turns of each network")
    options.add_argument("--seconds", type=float, default=1, help="of a turn")
    options.add_argument("--output", type=Path, help="Markdown file to write")
    chosen = options.parse_args()
    text = title("Growth of a training step")
    print(text, flush=True)
    for factor in chosen.factors:
        for backend in chosen.backends:
            found = section(factor, backend, chosen.rounds, chosen.seconds)
            print(found, flush=True)
            text += "\n" + found
            if chosen.output:
                write_text(chosen.output, text)
