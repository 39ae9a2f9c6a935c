"""Compare every whole network with its peer: `python -m tests.parity [FILE.md] [NAME...]`.

Under the active backend, in float32, on images of several sizes; with a name, only the peers whose
name holds it.
"""

import gc
import sys
import time
from pathlib import Path

import keras
import numpy as np

from keras_resnext.backend import versions
from keras_resnext.files import write_text
from tests.gradients import relative_error
from tests.parity import ours, peers

CASES = (
    ((224, 224), "channels_last"),
    ((288, 288), "channels_last"),
    ((197, 231), "channels_last"),
    ((197, 231), "channels_first"),
)
BOUND = 1e-4
HEADER = """# Parity under {backend}

`KERAS_BACKEND={backend} python -m tests.parity`, on a CPU in float32; {versions}.

Random weights and statistics, one image. Each number is the largest difference by the largest
value; the stages' is that of the worst stage. An input gradient jumps wherever rounding turns the
sign of what one of millions of ReLUs gets: the last column shows by how much the peer's own moves
when each pixel moves to the next number that float32 has.

| network | image | data format | stages | logits | input gradient | the peer's own |
|---|---|---|---|---|---|---|
"""


def main(arguments: list[str]) -> int:
    """Print and write the table; 1 if a stage or the logits of any network are too far apart."""
    path = Path(arguments.pop(0)) if arguments and arguments[0].endswith(".md") else None
    table = HEADER.format(
        backend=keras.backend.backend(),
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
    )
    print(table, end="", flush=True)
    worst = 0.0
    for name, build in peers.PEERS.items():
        if arguments and not any(wanted in name for wanted in arguments):
            continue
        for row, error in compare_peer(name, build):
            print(row, flush=True)
            table += f"{row}\n"
            worst = max(worst, error)
        gc.collect()
    if path:
        write_text(path, table)
    print(f"Stages and logits: {worst:.1e} at most; bound {BOUND:g}")
    return int(worst >= BOUND)


def compare_peer(name, build):
    """Rows of the table, and the largest error of stages and logits."""
    network = peers.randomize(build())
    models = {}
    for size, data_format in CASES:
        begin = time.monotonic()
        generator = np.random.default_rng(0)
        images = generator.normal(size=(1, *size, 3)).astype("float32")
        cotangent = generator.normal(size=(1, 1000)).astype("float32")
        expected = peers.results(network, images, cotangent)
        moved = peers.results(network, np.nextafter(images, np.float32(np.inf)), cotangent)
        with ours.data_format(data_format):
            if data_format not in models:
                models.clear()
                models[data_format] = ours.with_weights_of(peers.state_dict(network))
            found = ours.results(models[data_format], images, cotangent)
        errors = {key: relative_error(found[key], expected[key]) for key in expected}
        stages = max(error for key, error in errors.items() if key.startswith("stage"))
        gradient = errors["input gradient"]
        own = relative_error(moved["input gradient"], expected["input gradient"])
        height, width = size
        print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
        yield (
            f"| {name} | {height}x{width} | {data_format} | {stages:.1e} "
            f"| {errors['logits']:.1e} | {gradient:.1e} | {own:.1e} |",
            max(stages, errors["logits"]),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
