"""Whole training steps, ours against plain Keras and plain PyTorch."""

from statistics import median

from keras_resnext.benchmark.turns import Contestant, race, speedup


def compare_steps(
    backends: tuple[str, ...], batch_size: int, rounds: int, steps: int, precision: str
) -> str:
    """Train in turns; a table of medians, and of ratios to plain PyTorch taken round by round.

    Args:
        backends: Keras backends to measure.
        batch_size: images a step.
        rounds: turns of each contestant.
        steps: steps a turn.
        precision: a Keras dtype policy, `"float32"` or a mixed one.
    """
    peer = Contestant("plain PyTorch", "torch", batch_size)
    contestants = [peer] + [Contestant("keras_resnext", b, batch_size) for b in backends]
    race(contestants, rounds, steps, precision)
    lines = [
        "| training step | ms | images/s | compile s | speed, plain PyTorch = 1 |",
        "|---|---|---|---|---|",
    ]
    for contestant in contestants:
        lines.append(
            f"| {contestant.name} | {_milliseconds(contestant):.0f} | {_speed(contestant):.1f} "
            f"| {contestant.compile_seconds:.0f} | {speedup(peer, contestant)} |"
        )
    return "\n".join(lines)


def compare_with_plain_keras(backends: tuple[str, ...], batch_size: int, precision: str) -> str:
    """Take one step of plain Keras against a turn of ours, at a small batch: it takes minutes."""
    lines = [
        "| training step | ms | compile s | speed, plain Keras = 1 |",
        "|---|---|---|---|",
    ]
    for backend in backends:
        plain = Contestant("plain Keras", backend, batch_size)
        ours = Contestant("keras_resnext", backend, batch_size)
        race([plain, ours], rounds=1, steps=1, precision=precision)
        for contestant in (plain, ours):
            lines.append(
                f"| {contestant.name} | {_milliseconds(contestant):.0f} "
                f"| {contestant.compile_seconds:.0f} | {speedup(plain, contestant)} |"
            )
    return "\n".join(lines)


def _milliseconds(contestant: Contestant) -> float:
    return 1000 * median(contestant.step_seconds)


def _speed(contestant: Contestant) -> float:
    return contestant.batch_size / median(contestant.step_seconds)
