"""Train one small ResNeXt on each backend from the same weights and batches, and compare losses.

`python scripts/compare_backends.py runs/comparison --dataset demo --max-steps 40` writes
losses.csv, comparison.md and comparison.png there. Exits with 1 where the first losses disagree.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
COMPARED_STEPS = 20
TOLERANCE = 1e-3
# Rounding differs between backends. Where it turns a pre-activation's sign, a ReLU jumps and
# gradients change by a thousandth at once; from then on the runs part, faster with larger steps.
# A rising learning rate keeps the first losses comparable.
SETTINGS = {
    "model": "resnext11",
    "batch_size": 60,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "crop_padding": 4,
    "precision": "float32",
}


def work(job: dict) -> dict:
    """Train on this process's backend; returns the loss of each step and the test accuracy."""
    import keras

    from keras_resnext.backend import versions
    from keras_resnext.data import load_dataset
    from keras_resnext.inference import evaluate
    from keras_resnext.training import Settings
    from keras_resnext.training.network import compiled_network, resolve, training_batches

    settings = resolve(Settings().change(**SETTINGS, **job["settings"]))
    dataset = load_dataset(settings.data.dataset, settings.data.data_dir)
    batches = training_batches(settings, dataset)
    model = compiled_network(settings, dataset, len(batches))
    weights = Path(job["weights"])
    if not weights.exists():
        model.save_weights(weights)
    model.load_weights(weights)
    losses: list[float] = []

    def take(batch, logs):
        losses.append(float(logs["loss"]))
        model.reset_metrics()  # Keras hands over the mean since the epoch began
        model.stop_training = len(losses) == job["max_steps"]

    record = keras.callbacks.LambdaCallback(on_train_batch_end=take)
    epochs = settings.schedule.epochs
    model.fit(batches, epochs=epochs, shuffle=False, callbacks=[record], verbose=2)
    report = evaluate(model, dataset, preprocessing=dataset.preprocessing)
    return {"losses": losses, "test_accuracy": report.top1, "versions": versions()}


def run(backend: str, job: dict, scratch: Path) -> dict:
    """Train under a backend, in a process of its own."""
    print(f"--- {backend}", flush=True)
    output = scratch / f"{backend}.json"
    command = [sys.executable, __file__, "--job", json.dumps(job), str(output)]
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if subprocess.run(command, env=environment).returncode:
        sys.exit(f"error: training failed on {backend}; its error is above")
    return json.loads(output.read_text(encoding="utf-8"))


def write(results: dict[str, dict], differences: np.ndarray, folder: Path) -> None:
    """Write the losses as CSV, Markdown and curves."""
    from keras_resnext.files import figure, markdown_table, write_csv, write_text

    losses = {backend: result["losses"] for backend, result in results.items()}
    header = ["step", *losses, "relative_difference"]
    steps = range(1, len(differences) + 1)
    rows = list(zip(steps, *losses.values(), differences.tolist(), strict=True))
    write_csv(folder / "losses.csv", [dict(zip(header, row, strict=True)) for row in rows])
    first = (
        (step, *(f"{loss:.6f}" for loss in row), f"{difference:.1e}")
        for step, *row, difference in rows[:COMPARED_STEPS]
    )
    versions = next(iter(results.values()))["versions"]
    accuracies = (f"{backend} {r['test_accuracy']:.2%}" for backend, r in results.items())
    lines = [
        f"# {SETTINGS['model']}, the same training on each backend",
        "",
        f"{len(rows)} steps in float32. {', '.join(f'{k} {v}' for k, v in versions.items())}.",
        f"Test accuracy: {', '.join(accuracies)}.",
        f"Largest relative difference of the first {COMPARED_STEPS} losses: "
        f"{differences[:COMPARED_STEPS].max():.2e} (bound {TOLERANCE:g}).",
        "",
        markdown_table(header, first),
    ]
    write_text(folder / "comparison.md", "\n".join(lines) + "\n")
    picture = figure(figsize=(11, 4.2), layout="constrained")
    curves, difference = picture.subplots(1, 2)
    for (backend, values), style in zip(losses.items(), ("-", "--", ":"), strict=False):
        curves.plot(values, style, label=backend)
    curves.legend()
    curves.set(title="loss", xlabel="step")
    difference.semilogy(np.maximum(differences, 1e-9))
    difference.axhline(TOLERANCE, linestyle="--")
    difference.set(title="largest relative difference", xlabel="step")
    picture.savefig(folder / "comparison.png", dpi=120)


def main() -> int:
    """Compare; returns 0 if the first losses agree, else 1."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("output_dir", type=Path)
    options.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    options.add_argument("--dataset", choices=("cifar100", "demo"), default="cifar100")
    options.add_argument("--data-dir", help="where the official CIFAR-100 archive or folder lies")
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--max-steps", type=int, help="stop after that many")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    chosen.output_dir.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(chosen, name) for name in ("dataset", "data_dir", "epochs", "seed")}
    with tempfile.TemporaryDirectory() as scratch:
        weights = str(Path(scratch) / "initial.weights.h5")
        job = {"settings": settings, "weights": weights, "max_steps": chosen.max_steps}
        results = {backend: run(backend, job, Path(scratch)) for backend in chosen.backends}
    losses = np.array([result["losses"] for result in results.values()])
    differences = (losses.max(0) - losses.min(0)) / losses.min(0)
    write(results, differences, chosen.output_dir)
    print(f"Written to {chosen.output_dir}")
    return 0 if differences[:COMPARED_STEPS].max() < TOLERANCE else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        answer = json.dumps(work(json.loads(sys.argv[2])))
        Path(sys.argv[3]).write_text(answer, encoding="utf-8")
        sys.exit()
    sys.exit(main())
