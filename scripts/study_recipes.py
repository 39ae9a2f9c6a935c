"""Which parts of a recipe help in a few epochs? One at a time, on the network of study_cardinality.

`run --data-dir DIR` trains the short recipe of that study and each variant of it, once per seed,
in OUTPUT_DIR on CIFAR-100; it may be killed at any time, and goes on where it was. `report` writes
a table of what is there, and a CSV file of its runs, which `run` then takes as done. `--variants
base`, with an OUTPUT_DIR and a REPORT of its own, compares backends.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from study_cardinality import short_recipe, train

from keras_resnext.files import markdown_table, write_csv, write_text
from keras_resnext.training import read_run

EPOCHS = 6
COLUMNS = ("variant", "seed", "validation", "test")
Point = tuple[int, str]  # seed and variant
Accuracies = tuple[float, float]  # on the validation and test split, in percent
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "label-smoothing-0.1": {"label_smoothing": 0.1},
    "averages-0.99": {"ema_decay": 0.99},
    "cutmix-1": {"cutmix": 1.0},
    "mixup-0.2": {"mixup": 0.2},
    "trivialaugment": {"policy": "trivialaugment"},
    "erasing-0.1": {"erasing": 0.1},
    "no-crop-no-flip": {"crop_padding": 0, "flip": False},
    "steps": {"schedule": "piecewise", "milestones": (EPOCHS // 2, EPOCHS * 3 // 4)},
    "learning-rate-0.2": {"learning_rate": 0.2},
    "learning-rate-0.05": {"learning_rate": 0.05},
    "batch-256": {"batch_size": 256, "base_batch_size": 128},
    "batch-64": {"batch_size": 64, "base_batch_size": 128},
    "weight-decay-1e-4": {"weight_decay": 1e-4},
}
"""What differs from the short recipe, by name."""


def run(chosen: argparse.Namespace) -> None:
    """Train what is missing: all variants with the first seed, then all with the next."""
    base = short_recipe(EPOCHS, chosen.data_dir, chosen.precision)
    done = reported(chosen.report)
    for seed, name in product(chosen.seeds, chosen.variants):
        if (seed, name) in done:
            print(f"{name}-{seed}: done, in the CSV file beside {chosen.report}", flush=True)
        else:
            train(base.change(**VARIANTS[name], seed=seed), chosen.output_dir / f"{name}-{seed}")


def report(chosen: argparse.Namespace) -> None:
    """Write the accuracy after the last epoch, and the gain over the base with the same seeds.

    Beside the table lies a CSV file of all runs: those of other machines stay in it.
    """
    accuracies = reported(chosen.report) | dict(finished(chosen))
    if not accuracies:
        sys.exit(f"there is no finished run in {chosen.output_dir}; start with: run --data-dir DIR")
    rows, runs = [], []
    for name in VARIANTS:
        found = {seed: each for (seed, other), each in sorted(accuracies.items()) if other == name}
        row: list[Any] = [name, len(found)]
        for split in range(2):
            gains = [
                each[split] - accuracies[seed, "base"][split]
                for seed, each in found.items()
                if name != "base" and (seed, "base") in accuracies
            ]
            row += [_mean([each[split] for each in found.values()]), _mean(gains, "+") or None]
        if found:
            rows.append(row)
        runs += [
            dict(zip(COLUMNS, (name, seed, *each), strict=True)) for seed, each in found.items()
        ]
    header = ["variant", "seeds", "validation, %", "gain", "test, %", "gain"]
    text = markdown_table(header, rows) + "\n"
    write_csv(chosen.report.with_suffix(".csv"), runs)
    write_text(chosen.report, text)
    print(text)


def reported(report: Path) -> dict[Point, Accuracies]:
    """What the CSV file beside a report has, if there is one."""
    path = report.with_suffix(".csv")
    if not path.is_file():
        return {}
    rows = csv.reader(path.read_text().splitlines()[1:])
    return {(int(seed), name): (float(val), float(test)) for name, seed, val, test in rows}


def finished(chosen: argparse.Namespace) -> Iterator[tuple[Point, Accuracies]]:
    """Yield the runs in OUTPUT_DIR that came to their end."""
    for seed, name in product(chosen.seeds, chosen.variants):
        folder = chosen.output_dir / f"{name}-{seed}"
        if (folder / "results.json").is_file():
            run = read_run(folder)
            both = float(run.history[-1]["val_accuracy"]), run.results["test_accuracy_last"]
            yield (seed, name), (round(100 * both[0], 2), round(100 * both[1], 2))


def _mean(values: list[float], sign: str = "") -> str:
    """Mean, and standard deviation where there are several."""
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):{sign}.2f}{spread}" if values else ""


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=("run", "report"))
    options.add_argument("--data-dir", type=Path, help="of CIFAR-100, as `train` takes it")
    options.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options.add_argument("--precision", default="auto")
    options.add_argument("--output-dir", type=Path, default=Path("runs/recipes"))
    options.add_argument("--report", type=Path, default=Path("results/recipes/results.md"))
    chosen = options.parse_args()
    {"run": run, "report": report}[chosen.what](chosen)
