"""One backend's part of a comparison: `python -m keras_resnext.training.comparison_worker JOB`.

The parent, `comparison.py`, starts one process a backend, since Keras has one backend a process.
"""

import json
import sys
from pathlib import Path

import keras

from keras_resnext.evaluation import evaluate
from keras_resnext.files import write_text, write_weights
from keras_resnext.training.compiled import compiled_network, load_dataset, training_batches
from keras_resnext.training.environment import environment
from keras_resnext.training.settings import Settings


class LossOfEachStep(keras.callbacks.Callback):
    """Collect each batch's own loss; Keras hands callbacks the mean since the epoch began.

    Args:
        limit: stop after so many steps; None: never.
    """

    def __init__(self, limit: int | None):
        super().__init__()
        self.limit = limit
        self.losses: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        """Take the loss, and let the next mean be that of one batch."""
        self.losses.append(float(logs["loss"]))
        self.model.reset_metrics()
        if self.limit and len(self.losses) >= self.limit:
            self.model.stop_training = True


def work(job: dict) -> dict:
    """Train on this process's backend.

    Args:
        job: `settings`, `weights` (a file of initial weights, made if it is missing), `max_steps`.

    Returns:
        `losses` of each step, `test_accuracy`, `environment`.
    """
    settings = Settings.from_toml(job["settings"])
    dataset = load_dataset(settings)
    batches = training_batches(settings, dataset)
    model = compiled_network(settings, dataset, len(batches))
    weights = Path(job["weights"])
    if not weights.exists():
        write_weights(weights, model)
    model.load_weights(weights)
    record = LossOfEachStep(job["max_steps"])
    model.fit(batches, epochs=settings.epochs, shuffle=False, callbacks=[record], verbose=2)
    return {
        "losses": record.losses,
        "test_accuracy": evaluate(model, dataset, "test", settings.batch_size).top1,
        "environment": environment(),
    }


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    write_text(task["output"], json.dumps(work(task)))
