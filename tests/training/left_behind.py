"""What a run leaves in its folder, without the run."""

import csv

from keras_resnext.training.folder import claim, write_json
from keras_resnext.training.progress import Progress


def progress_of(accuracies, learning_rate=0.1):
    """An epoch for each validation accuracy, 20 seconds long, the first 50."""
    rows = [
        {
            "epoch": epoch,
            "loss": 2 / epoch,
            "accuracy": accuracy + 0.01,
            "val_loss": 2.5 / epoch,
            "val_accuracy": accuracy,
            "learning_rate": learning_rate,
            "seconds": 50.0 if epoch == 1 else 20.0,
        }
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    best = max(accuracies)
    return Progress(len(rows), 0, accuracies.index(best) + 1, best, rows)


def leave_run(folder, settings, accuracies=(), finished=False, backend="jax"):
    """Write a run's folder, apart from weights and pictures."""
    claim(folder, settings, resume=False)
    write_json(
        folder / "environment.json",
        {"backend": backend, "device": "cuda:0", "packages": {"keras": "3.15.1", "jax": "0.10"}},
    )
    if accuracies:
        rows = progress_of(accuracies).history
        with open(folder / "history.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if finished:
        results = {
            "epochs": len(accuracies),
            "test_accuracy_best": 0.625,
            "test_accuracy_last": 0.5,
            "parameters": 1234567,
        }
        write_json(folder / "results.json", results)
    return folder
