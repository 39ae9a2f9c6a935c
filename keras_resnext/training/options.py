"""`RunOptions`: where a run goes and how it is kept."""

from dataclasses import dataclass
from pathlib import Path

from keras_resnext.native import BACKEND, machine


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and how it is kept, without influence on its outcome.

    Raises:
        ValueError: an option is out of range, or this machine or backend cannot do it.
    """

    output_dir: Path = Path("runs")
    """Folder of all runs."""
    run_name: str | None = None
    """Folder of this run within it; left out: the recipe's name."""
    resume: bool = False
    """Continue the run of that name from its last checkpoint, with its own settings."""
    dry_run: bool = False
    """Print model, data, steps, estimated memory and time, and write nothing."""
    checkpoint_every: int = 0
    """Steps between checkpoints within an epoch; 0: one at each epoch's end and on Ctrl-C."""
    keep: int = 2
    """How many checkpoints to keep."""
    workers: int = 1
    """Threads that prepare batches ahead; 0: none."""
    steps_per_execution: int = 1
    """Steps that are computed at a time, without a look at loss, signals or checkpoints in
    between; spares an accelerator the wait for Python. Not under PyTorch."""
    devices: int = 1
    """Devices of this host to train on, each with its part of every batch (TensorFlow, JAX); see
    docs/distributed.md."""
    distributed: bool = False
    """This is one of several processes of the run (PyTorch by torchrun, JAX); see
    docs/distributed.md."""
    gpu: bool = False
    """Stop where the backend finds no GPU, instead of training on the CPU."""
    tensorboard: bool = False
    """Also write the history for TensorBoard, which needs TensorFlow."""

    def __post_init__(self):
        for name, least in (
            ("checkpoint_every", 0),
            ("keep", 1),
            ("workers", 0),
            ("steps_per_execution", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)!r}")
        if self.run_name is not None and Path(self.run_name).name != self.run_name:
            raise ValueError(
                f"run_name: expected a plain name, got {self.run_name!r}; "
                "choose the folder by output_dir"
            )
        if self.steps_per_execution > 1 and BACKEND == "torch":
            raise ValueError(
                f"steps_per_execution: Keras computes one at a time under PyTorch, got "
                f"{self.steps_per_execution}; leave it out or choose another KERAS_BACKEND"
            )

    def check_gpu(self) -> None:
        """Make sure that a GPU is there where one is asked for; the backend starts here.

        Raises:
            ValueError: it finds none.
        """
        if self.gpu and not machine.accelerators():
            raise ValueError(
                f"gpu: the backend {BACKEND} finds none on this machine; leave the option out to "
                "train on the CPU, or install the backend's build for the GPU (see README.md)"
            )
