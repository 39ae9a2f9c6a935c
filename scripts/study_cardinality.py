"""The paper's question at a small scale: does cardinality help at equal complexity?

`run --data-dir DIR` trains every network of the families, once per seed, each a run of
`keras-resnext train` in OUTPUT_DIR on CIFAR-100. What is done is skipped and what was stopped goes
on, so it may be killed at any time. `report` writes a table, results.csv and a picture of what is
there; `sizes` prints parameters and multiply-adds; `blocks` draws the three forms of the block.

Families: `cardinality` (the paper's table 3), `complexity` (its table 4: twice the complexity by
depth, width or cardinality) and `shortcuts` (section 5.1: with and without them).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple
from unittest import mock

import keras

from keras_resnext import Architecture, models, training
from keras_resnext.architecture import stage_blocks
from keras_resnext.blocks import Block, batch_norm
from keras_resnext.files import figure, markdown_table, write_csv, write_text
from keras_resnext.publishing import costs
from keras_resnext.training.run import SETTINGS_FILE

SIZE, CLASSES = 32, 100
STEM = "imagenet"  # features of 8x8, 4x4 and 2x2: a fifteenth of the cost of the CIFAR stem's


class Network(NamedTuple):
    """A CIFAR ResNeXt."""

    model: str
    cardinality: int
    base_width: int
    shortcuts: bool = True

    def __str__(self) -> str:
        plain = "" if self.shortcuts else "-no-shortcuts"
        return f"{self.model}-{self.cardinality}x{self.base_width}d{plain}"


# With the top-1 error in percent on ImageNet of ResNeXt-50, in table 4 of ResNeXt-101.
FAMILIES = {
    "cardinality": {
        Network("resnext11", 1, 64): 23.9,
        Network("resnext11", 2, 40): 23.0,
        Network("resnext11", 4, 24): 22.6,
        Network("resnext11", 8, 14): 22.3,
        Network("resnext11", 32, 4): 22.2,
    },
    "complexity": {
        Network("resnext11", 1, 64): 22.0,
        Network("resnext20", 1, 64): 21.7,  # deeper
        Network("resnext11", 1, 100): 21.3,  # wider
        Network("resnext11", 2, 64): 20.7,  # more paths
        Network("resnext11", 64, 4): 20.4,
    },
    "shortcuts": {
        Network("resnext11", 1, 64): 23.9,
        Network("resnext11", 32, 4): 22.2,
        Network("resnext11", 1, 64, shortcuts=False): 31.2,
        Network("resnext11", 32, 4, shortcuts=False): 26.1,
    },
}


def networks(families: Sequence[str]) -> dict[Network, float]:
    """Those of all families, each once, with an error in the paper."""
    return {network: error for name in families for network, error in FAMILIES[name].items()}


def run(chosen: argparse.Namespace) -> None:
    """Train what is missing: all networks with the first seed, then all with the next."""
    short = short_recipe(chosen.epochs, chosen.data_dir, chosen.precision)
    for seed, network in points(chosen):
        changes = network._asdict()
        with built_with(changes.pop("shortcuts")):
            train(short.change(**changes, seed=seed), run_folder(chosen, network, seed))


@contextmanager
def built_with(shortcuts: bool) -> Iterator[None]:
    """Build blocks as they are, or without shortcuts, which the package has no use for."""
    if shortcuts:
        yield
        return
    with (
        mock.patch.object(models, "bottleneck", plain_block),
        mock.patch.object(Block, "has_projection", False),
    ):
        yield


def plain_block(x, block: Block, form: Callable):
    """`relu(batch_norm(form(x)))`."""
    x = batch_norm(form(x, block), f"{block.name}_bn3")
    return keras.layers.ReLU(name=f"{block.name}_out")(x)


def short_recipe(epochs: int, data_dir: Path | None, precision: str) -> training.Settings:
    """The recipe `paper` for few epochs of a network that computes little."""
    return training.recipe("paper").change(
        model="resnext11",
        cardinality=32,
        base_width=4,
        stem=STEM,
        epochs=epochs,
        data_dir=data_dir,
        schedule="cosine",
        milestones=(),
        warmup_epochs=1.0,
        drop_remainder=True,
        precision=precision,
    )


def train(settings: training.Settings, folder: Path) -> None:
    """Train to the end, if that is not done, from where it was stopped."""
    if (folder / "results.json").is_file():
        return
    print(f"{folder.name}:", flush=True)
    options = training.RunOptions(
        output_dir=folder.parent,
        run_name=folder.name,
        checkpoint_every=100,
        resume=(folder / SETTINGS_FILE).is_file(),  # the first that a run writes
    )
    try:
        training.train(settings, folder, options)
    except training.Interrupted as stop:
        sys.exit(f"{stop}; the same command goes on with it")


def points(chosen: argparse.Namespace) -> Iterator[tuple[int, Network]]:
    """Seeds and networks."""
    for seed in chosen.seeds:
        for network in networks(chosen.families):
            yield seed, network


def run_folder(chosen: argparse.Namespace, network: Network, seed: int) -> Path:
    """The folder of one run."""
    return chosen.output_dir / f"{network}-{seed}"


def report(chosen: argparse.Namespace) -> None:
    """Write what the runs that are done found."""
    errors: dict[Network, list[float]] = {}
    for seed, network in points(chosen):
        folder = run_folder(chosen, network, seed)
        if (folder / "results.json").is_file():
            found = training.read_run(folder).results["test_accuracy_last"]
            errors.setdefault(network, []).append(100 * (1 - found))
    if not errors:
        sys.exit(f"there is no finished run in {chosen.output_dir}; start with: run --data-dir DIR")
    published = networks(chosen.families)
    rows = [row(network, published[network], found) for network, found in errors.items()]
    write_csv(chosen.report_dir / "results.csv", rows)
    write_text(chosen.report_dir / "results.md", as_table(rows))
    print(as_table(rows))
    if "cardinality" in chosen.families:
        draw_errors(errors, chosen.report_dir / "cardinality.png")


def row(network: Network, published: float, errors: Sequence[float] = ()) -> dict[str, Any]:
    """One line of a table."""
    shape = stage_blocks(network.model), network.cardinality, network.base_width
    with built_with(network.shortcuts):
        parameters, multiply_adds = costs(Architecture(*shape, stem=STEM), SIZE, CLASSES)
    values: dict[str, Any] = {
        "network": str(network),
        "parameters, M": f"{parameters / 1e6:.2f}",
        "multiply-adds, M": f"{multiply_adds / 1e6:.0f}",
    }
    if errors:
        spread = f"{stdev(errors):.2f}" if len(errors) > 1 else ""
        values |= {"seeds": len(errors), "test error, %": f"{mean(errors):.2f}", "spread": spread}
    return values | {"paper's error on ImageNet, %": published}


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    return markdown_table(list(rows[0]), (list(each.values()) for each in rows)) + "\n"


def draw_errors(errors: dict[Network, list[float]], path: Path) -> None:
    """Draw error against cardinality with error bars, beside the paper's table 3."""
    published = FAMILIES["cardinality"]
    found = {network: errors[network] for network in published if network in errors}
    drawing = figure(figsize=(8, 3.4), layout="constrained")
    left, right = drawing.subplots(1, 2)
    spread = [stdev(each) if len(each) > 1 else 0 for each in found.values()]
    places = [network.cardinality for network in found]
    left.errorbar(places, [mean(each) for each in found.values()], spread, fmt="o-", capsize=3)
    left.set_title("CIFAR-100, ResNeXt-11, here")
    right.plot([each.cardinality for each in published], list(published.values()), "o-", color="C1")
    right.set_title("ImageNet, ResNeXt-50 (table 3)")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("cardinality, at equal complexity")
        axes.set_ylabel("top-1 error (%)")
    drawing.savefig(path, dpi=110)


def sizes(chosen: argparse.Namespace) -> None:
    """Print parameters and multiply-adds."""
    print(as_table([row(*each) for each in networks(chosen.families).items()]))


def blocks(chosen: argparse.Namespace) -> None:
    """Draw the paper's figure 3: one block of ResNeXt-50 32x4d in its three equal forms."""
    drawing = figure(figsize=(11, 3.6), layout="constrained")
    whole = drawing.subplots(1, 3)
    paths = [-1.5, -0.5, 1.5]  # two of 32, the gap for the others, and the last
    rows = ["256, 1x1, 4", "4, 3x3, 4", "4, 1x1, 256"]

    def box(axes, x, y, text, width=0.8):
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=7,
            bbox={"boxstyle": f"round,pad={0.3 * width}", "facecolor": "#dbe7f5"},
        )

    def arrow(axes, start, end):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.4"})

    titles = (
        "(a) branches: each path a bottleneck, added",
        "(b) concatenated: one 1x1 for all paths",
        "(c) grouped: the same by grouped convolution",
    )
    for axes, title in zip(whole, titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_xlim(-2.4, 2.9)
        axes.set_ylim(-0.7, 5)
        axes.set_axis_off()
        axes.text(0, 4.8, "256 channels in", ha="center", fontsize=7)
        axes.text(0, -0.5, "+ shortcut, 256 channels out", ha="center", fontsize=7)
    for axes, height in ((whole[0], 3), (whole[1], 2)):
        for x in paths:
            arrow(axes, (0, 4.7), (x, 4.2))
            for level, text in enumerate(rows[:height]):
                box(axes, x, 4 - 1.2 * level, text)
                if level:
                    arrow(axes, (x, 5 - 1.2 * level), (x, 4.25 - 1.2 * level))
        axes.text(0.5, 4 - 1.2 * (height - 1) / 2, "... 32\npaths ...", ha="center", fontsize=7)
    for x in paths:
        arrow(whole[0], (x, 1.4), (0, 0.6))
        arrow(whole[1], (x, 2.6), (0, 1.9))
    box(whole[0], 0, 0.4, "+")
    box(whole[1], 0, 1.6, "concatenate, 128")
    box(whole[1], 0, 0.5, "128, 1x1, 256")
    arrow(whole[1], (0, 1.35), (0, 0.75))
    grouped = ("256, 1x1, 128", "128, 3x3, 128\n32 groups", "128, 1x1, 256")
    for level, text in enumerate(grouped):
        box(whole[2], 0, 4 - 1.5 * level, text)
        top = 4.7 if level == 0 else 5.2 - 1.5 * level
        arrow(whole[2], (0, top), (0, 4.35 - 1.5 * level))
    chosen.report_dir.mkdir(parents=True, exist_ok=True)
    drawing.savefig(chosen.report_dir / "blocks.png", dpi=110)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=("run", "report", "sizes", "blocks"))
    options.add_argument("--data-dir", type=Path, help="of CIFAR-100, as `train` takes it")
    options.add_argument("--families", nargs="+", default=["cardinality"], choices=FAMILIES)
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--precision", default="auto")
    options.add_argument("--output-dir", type=Path, default=Path("runs/cardinality"))
    options.add_argument("--report-dir", type=Path, default=Path("results/cardinality"))
    chosen = options.parse_args()
    {"run": run, "report": report, "sizes": sizes, "blocks": blocks}[chosen.what](chosen)
