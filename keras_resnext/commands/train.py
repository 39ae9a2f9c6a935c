"""The command line of `scripts/train.py`."""

import argparse
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from keras_resnext.commands.line import parse, status
from keras_resnext.training.estimate import dry_run
from keras_resnext.training.folder import settings_of
from keras_resnext.training.interruption import Interrupted
from keras_resnext.training.loop import train
from keras_resnext.training.options import RunOptions
from keras_resnext.training.recipes import RECIPES, recipe
from keras_resnext.training.settings import Settings


@dataclass(frozen=True)
class TrainCommand:
    """Train a ResNeXt. A recipe gives all settings; each may be overridden.

    Results go to OUTPUT_DIR/RUN_NAME: best and last weights, model.keras, history.csv,
    journal.jsonl, curves.png, settings.toml, dataset.json, environment.json, results.json,
    report.md. The Keras backend is chosen by the environment variable KERAS_BACKEND: tensorflow,
    jax or torch.
    """

    recipe: str = "quickstart"
    """Recipe (quickstart, paper, grouped1x1, modern, finetune), or a settings file, such as a
    run's settings.toml."""
    options: RunOptions = field(default_factory=RunOptions)
    settings: Settings = field(default_factory=lambda: RECIPES["quickstart"])


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, train, and print the outcome.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        Exit status: 0; 1 after an error; 2 for a wrong command line; 128 + signal after a signal.
    """
    return status(lambda: _main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    command = parse_train(arguments)
    folder = command.options.output_dir / (command.options.run_name or "")
    if command.options.dry_run:
        print(dry_run(command.settings))
        return 0
    try:
        results = train(command.settings, folder, command.options)
    except Interrupted as stop:
        print(f"\n{stop}; continue with: {_resume_command(command)}")
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        print("\nStopped at once; a run that has a checkpoint continues with --resume.")
        return 128 + signal.SIGINT
    print(
        f"Best epoch {results['best_epoch']} (validation accuracy "
        f"{results['best_validation_accuracy']:.2%}): test accuracy "
        f"{results['test_accuracy_best']:.2%}, top-5 {results['test_top5_accuracy_best']:.2%}. "
        f"Last epoch: test accuracy {results['test_accuracy_last']:.2%}.\n"
        f"Report and learning curves: {folder / 'report.md'}\nModel: {folder / 'model.keras'}"
    )
    return 0


def parse_train(arguments: list[str]) -> TrainCommand:
    """Read the command line; the defaults are those of the recipe, or of the run to resume.

    Raises:
        ValueError: the recipe is unknown, a setting is impossible, or the run is not there.
        ImportError: tyro is not installed.
        SystemExit: an option is unknown or malformed, or help was asked for.
    """
    command = parse(TrainCommand, arguments, default=_defaults(arguments))
    name = command.options.run_name or Path(command.recipe).stem
    return replace(command, options=replace(command.options, run_name=name))


def _defaults(arguments: list[str]) -> TrainCommand:
    """Look ahead for the few options that decide what the defaults of the others are."""
    ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    ahead.add_argument("--recipe")
    ahead.add_argument("--output-dir", "--output_dir", type=Path, default=RunOptions().output_dir)
    ahead.add_argument("--run-name", "--run_name")
    ahead.add_argument("--resume", action="store_true")
    seen, _ = ahead.parse_known_args(arguments)
    name = seen.recipe or TrainCommand().recipe
    if seen.resume and not seen.recipe:
        run = seen.run_name or Path(name).stem
        return TrainCommand(settings=settings_of(seen.output_dir / run))
    return TrainCommand(recipe=name, settings=recipe(name))


def _resume_command(command: TrainCommand) -> str:
    options = command.options
    line = f"scripts/train.py --resume --run-name {options.run_name}"
    line += f" --output-dir {options.output_dir}"
    if options.devices > 1:
        line += f" --devices {options.devices}"
    if options.distributed:
        return f"{line} --distributed, each process started as before"
    return f"python {line}"
