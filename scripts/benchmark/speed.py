"""Speed and memory against plain PyTorch, in half an hour: a table, a CSV file and a picture.

Training and inference of two networks on images of CIFAR's size under each backend, against the
same network in PyTorch, eager and compiled; then inference on 224x224 pixels by what serves it.
`--against "plain Keras"` compares training with Keras' own layers instead, for many minutes a step.
On a GPU, `--together` has all compile at once, as long as they fit into its memory; then they take
turns as always. `"keras_resnext, packed"` computes all grouped convolutions by that lowering.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from turns import BACKENDS, LOWERINGS, Contestant, Task, race, title

from keras_resnext.files import figure, markdown_table, write_csv, write_text

BATCH_SIZES = {"resnext50_32x4d": (32,), "resnext20_8x8d": (32, 128)}
PYTORCH = ("PyTorch", "PyTorch, compiled")
SERVED = ("PyTorch's ONNX", "PyTorch's ONNX in OpenVINO", "SavedModel", "ONNX", "OpenVINO")
OURS = (
    "keras_resnext",
    "keras_resnext, rematerialized",
    "keras_resnext, two devices",
    *(f"keras_resnext, {name}" for name in LOWERINGS),
)
DEFAULT = (*PYTORCH, OURS[0], *SERVED)
ALL = (*DEFAULT, *OURS[1:], "ONNX int8")
COLUMNS = {
    "contestant": "",
    "step_ms": "ms",
    "images_per_second": "images/s",
    "relative_speed": "speed",
    "compile_seconds": "compile s",
    "memory_mib": "memory MiB",
}


def races(chosen: argparse.Namespace) -> Iterator[list[Contestant]]:
    """Those that run against each other, the one that the others are compared with first."""
    tasks = [task for task in chosen.tasks if task != "serve"]
    for what, model, precision in product(tasks, chosen.models, chosen.precisions):
        for batch_size in chosen.batch_sizes or BATCH_SIZES.get(model, (32,)):
            task = Task(what, model, batch_size, chosen.image_size, precision)
            names = [name for name in OURS if name in chosen.contestants]
            ours = [Contestant(*each) for each in product(names, [task], chosen.backends)]
            if chosen.against == "plain Keras":
                for contestant in ours:
                    yield [Contestant("plain Keras", task, contestant.backend), contestant]
            else:
                peers = [name for name in PYTORCH if name in chosen.contestants]
                yield [*(Contestant(name, task) for name in peers), *ours]
    served = [name for name in ALL if name not in OURS and name in chosen.contestants]
    for batch_size in chosen.served_batch_sizes if "serve" in chosen.tasks else ():
        task = Task("infer", "resnext50_32x4d", batch_size, 224)
        yield [
            Contestant(name, task, "tensorflow" if name == "SavedModel" else "torch")
            for name in served
        ]


def start_together(contestants: list[Contestant]) -> list[Contestant]:
    """Start all at the same time; returns those that could, and says who could not."""

    def start(contestant: Contestant) -> bool:
        try:
            contestant.start()
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return False
        return True

    with ThreadPoolExecutor(len(contestants)) as pool:
        started = list(pool.map(start, contestants))
    return [each for each, could in zip(contestants, started, strict=True) if could]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of one race as Markdown."""
    first = rows[0]
    what = {"train": "Training step", "infer": "Inference"}[first["what"]]
    cells = []
    for row in rows:
        spread = f"{row['slowest_round']:.2f} to {row['fastest_round']:.2f}"
        shown = row | {"relative_speed": f"{row['relative_speed']:.2f} ({spread})"}
        cells.append([shown[name] for name in COLUMNS])
    return (
        f"## {what}: {first['model']}, {first['image_size']}x{first['image_size']} pixels, "
        f"batch {first['batch_size']}, {first['precision']}\n\n"
        f"{markdown_table(list(COLUMNS.values()), cells)}\n"
    )


def draw(races: list[list[dict[str, Any]]], path: Path) -> None:
    """Draw each race as bars, ours blue: speed relative to the first, and the range of rounds."""
    count = sum(map(len, races)) + len(races)
    drawing = figure(figsize=(8, 0.24 * count + 0.6), layout="constrained")
    axes = drawing.subplots()
    place, places, names = 0, [], []
    for rows in races:
        first = rows[0]
        axes.text(
            0,
            place,
            f"{first['what']} {first['model']}, {first['image_size']} px, batch "
            f"{first['batch_size']}, {first['precision']}",
            fontsize=8,
            fontweight="bold",
            va="center",
        )
        for row in rows:
            place += 1
            speed = row["relative_speed"]
            spread = [[speed - row["slowest_round"]], [row["fastest_round"] - speed]]
            color = "C7" if row["contestant"].startswith(("PyTorch", "plain")) else "C0"
            axes.barh(place, speed, color=color, xerr=spread, ecolor="0.4")
            places.append(place)
            names.append(row["contestant"])
        place += 1
    axes.set_yticks(places, names, fontsize=7)
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_ylim(place, -1)
    axes.set_xlabel("speed, the first of each group = 1")
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    tasks = ("train", "infer", "serve")
    options.add_argument("--tasks", nargs="+", default=tasks, choices=tasks)
    options.add_argument("--models", nargs="+", default=list(BATCH_SIZES))
    options.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    options.add_argument("--against", default="PyTorch", choices=("PyTorch", "plain Keras"))
    options.add_argument("--image-size", type=int, default=32, help="pixels, but for serve: 224")
    options.add_argument("--batch-sizes", nargs="+", type=int, help="default: 32, and 128 if small")
    options.add_argument("--served-batch-sizes", nargs="+", type=int, default=(1, 32))
    options.add_argument("--precisions", nargs="+", default=("float32",), help="dtype policies")
    options.add_argument("--contestants", nargs="+", default=DEFAULT, choices=ALL)
    options.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    options.add_argument("--seconds", type=float, default=2, help="of a turn")
    options.add_argument("--together", action="store_true", help="start all at the same time")
    options.add_argument("--output-dir", type=Path, help="write speed.md, .csv and .png there")
    chosen = options.parse_args()
    text, found = title("Speed and memory"), []
    print(text, flush=True)
    groups = list(races(chosen))
    if chosen.together:
        able = start_together([contestant for group in groups for contestant in group])
        groups = [[each for each in group if each in able] for group in groups]
    for contestants in filter(None, groups):
        found.append(race(contestants, chosen.rounds, chosen.seconds))
        text += "\n" + table(found[-1])
        print(table(found[-1]), flush=True)
        if folder := chosen.output_dir:  # after each, since a run may be cut short
            write_text(folder / "speed.md", text)
            write_csv(folder / "speed.csv", [row for rows in found for row in rows])
            draw(found, folder / "speed.png")
