"""Settings, recipes, the training loop, and the runs it leaves."""

from keras_resnext.training.callbacks import Diverged, Interrupted
from keras_resnext.training.checkpoints import CheckpointError
from keras_resnext.training.loop import dry_run, train
from keras_resnext.training.recipes import RECIPES, recipe, shortened
from keras_resnext.training.run import Run, RunError, RunOptions, compare_runs, read_run
from keras_resnext.training.settings import Settings

__all__ = [
    "RECIPES",
    "CheckpointError",
    "Diverged",
    "Interrupted",
    "Run",
    "RunError",
    "RunOptions",
    "Settings",
    "compare_runs",
    "dry_run",
    "read_run",
    "recipe",
    "shortened",
    "train",
]
