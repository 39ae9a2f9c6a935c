"""From a trained network to files that other programs run: fold, write, run, compare, publish."""

import errno
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_resnext import backend
from keras_resnext.checkpoint import open_checkpoint
from keras_resnext.console import COMMAND, is_command
from keras_resnext.data import Dataset, image_to_square, load_demo
from keras_resnext.export.formats import FORMATS, Format
from keras_resnext.files import require, to_disk, unfinished, users_path
from keras_resnext.inference.classifier import (
    RAW,
    Classifier,
    Source,
    check_finite,
    model_classifier,
)
from keras_resnext.inference.evaluate import class_numbers
from keras_resnext.inference.exported import (
    LABELS,
    PREPROCESSING,
    child_environment,
    find_exported,
    probabilities,
    run_exported,
)
from keras_resnext.inference.network import logits_network, rebuild_flat
from keras_resnext.inference.runtimes import DEFAULT
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.publishing import model_card

IMAGES, CALIBRATION = 64, 256  # LiteRT's guide asks for 100 to 500 to calibrate by
BATCH = 9  # after the first image
TOLERANCE = 1e-4
"""Of probabilities; of logits relative to the largest, which goes up to 40."""
ROUNDED = 5e-2
"""Likewise, between float32 on the CPU and a model that computes in half precision or on a GPU."""
MAX_LOSS = 0.05
"""Of accuracy, by int8: sound calibration costs less than a hundredth."""
Labeled = tuple[np.ndarray, np.ndarray]


class ExportError(RuntimeError):
    """An export does not compute what the network does. Nothing was kept."""


def export(
    source: Source,
    path: str | os.PathLike,
    format: str = "saved_model",
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    dataset: Dataset | Labeled | None = None,
) -> Path:
    """Export a trained network to `path/VERSION`, the next free version, and verify it.

    Keras' own `model.export` does not suffice: under TensorFlow and JAX its SavedModel needs XLA,
    which TensorFlow Serving switches off, and other formats fail from one backend or another. So
    one process writes the file under the backend that is good at the format, and another, without
    Keras, runs it in the format's own runtime. Only if that answers what `source` answers to the
    same pixels, it is moved into place, all at once.

    Args:
        source: a Keras model built on ours, with any head, nested or flat, whatever trained it; or
            a checkpoint, or what `open_checkpoint` takes.
        path: folder of the model's versions, such as `saved_models/NAME`. One format each:
            TensorFlow Serving takes every version for a SavedModel.
        format: one of `FORMATS`.
        class_names: by label; default: the checkpoint's or data set's, else "class 0", ...
        preprocessing: default: the checkpoint's. For a model: none, that is, it takes pixels from 0
            to 255 as they are; give it where you normalized images outside the model.
        dataset: its test images verify the export (default: synthetic images), its training images
            calibrate int8, which needs them. A `Dataset`, or (images, labels): uint8
            (N, height, width, 3) and int (N,) or (N, 1).

    Returns:
        `path/VERSION`. It takes float32 (batch, height, width, 3), pixels from 0 to 255, any batch.
        What was verified is printed.

    Raises:
        ValueError: the format is unknown, `path` holds another one or is a file, the model is no
            classifier of one image, or names, sizes or labels do not fit it.
        ImportError: a package is not installed.
        OSError: `path` cannot be written to.
        ExportError: (a RuntimeError) the export computes something else.
        RuntimeError: writing or running failed.

    Example:
        >>> keras_resnext.export(model, "saved_models/flowers", class_names=["daisy", "rose"])
    """
    path = users_path(path)
    chosen = _check(path, format)
    if dataset is None and chosen.int8:
        raise ValueError(
            f"dataset: {format} is calibrated on real images; give a dataset, such as training "
            "images in a folder per class"
        )
    if not isinstance(source, keras.Model):
        source = open_checkpoint(source)
    for named in (source, dataset):
        if class_names is None:
            class_names = getattr(named, "class_names", None)
    classifier = model_classifier(source, class_names, preprocessing)
    images, labels, calibration = _images(dataset, classifier, chosen.int8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside `path`, so that what it holds can be moved into place in one step.
    unique = unfinished(path).name
    with TemporaryDirectory(prefix=unique, dir=path.parent, ignore_cleanup_errors=True) as name:
        scratch, folder = Path(name), Path(name, path.name)
        # A GPU may round float32 to fewer digits, and would not be fit to compare with. Elsewhere
        # there is no need, and under PyTorch layers with random states fail to build within.
        with keras.device("cpu:0") if backend.native.accelerators() else nullcontext():
            network = pixels_network(classifier)
            expected = _outputs(network.predict_on_batch, images)
        _check_copy(classifier, expected, images)
        network.save(scratch / "network.keras")
        np.save(scratch / "images.npy", calibration)
        activation = "softmax" if classifier.activation == "linear" else classifier.activation
        described = asdict(classifier.preprocessing) | {"activation": activation}
        (scratch / PREPROCESSING).write_text(json.dumps(described, indent=2) + "\n")
        text = "".join(f"{name}\n" for name in classifier.class_names)
        (scratch / LABELS).write_text(text, encoding="utf-8")
        _write(format, chosen.backend or keras.config.backend(), folder)
        answers = _answers(folder / chosen.file, chosen, classifier.preprocessing, images)
        if chosen.int8:
            check = check_accuracy(answers[f"{DEFAULT}/logits"], expected, labels)
        else:
            check = check_answers(answers, expected, classifier.class_names, activation)
        is_saved_model = format == "saved_model"
        extra = folder / "assets.extra" if is_saved_model else folder  # assets has the labels
        for file in (PREPROCESSING,) if is_saved_model else (PREPROCESSING, LABELS):
            os.replace(scratch / file, extra / file)
        (extra / "model_card.md").write_text(_card(classifier, path.name, format, check), "utf-8")
        print(check)
        if is_saved_model and not (extra / "tf_serving_warmup_requests").exists():
            print("No warm-up requests: they need pip install --no-deps tensorflow-serving-api")
        return _publish(folder, path)


def _check(path: Path, format: str) -> Format:
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if not re.fullmatch(r"\w[\w.-]*", path.name, re.ASCII):
        raise ValueError(
            f"name: expected letters, digits, '-', '_' and '.', since it is part of the address on "
            f"a server, got {path.name!r}"
        )
    chosen = FORMATS[format]
    if path.exists() and not path.is_dir():
        raise ValueError(f"path: expected a folder of versions, got the file {path}")
    if (found := find_exported(path)) and found.name != chosen.file:
        raise ValueError(
            f"path: {path} holds another format ({found.relative_to(path)}); expected a folder for "
            f"{format} alone, such as {path}-{format}"
        )
    if missing := [package for package in chosen.packages if not find_spec(package)]:
        raise ImportError(
            f"the format {format} needs {', '.join(missing)}, whatever backend trained. "
            f'Type: pip install "keras-resnext[{chosen.extra}]"'
        )
    return chosen


def _images(
    dataset: Dataset | Labeled | None, classifier: Classifier, int8: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images to verify by, their labels, and images to calibrate by, spread over the split."""
    preprocessing = classifier.preprocessing
    if dataset is None:
        pillow = require("PIL.Image", "verifying on synthetic images needs pillow")
        made = (pillow.fromarray(image) for image in load_demo(1, 1, 6).test.images)
        squares = np.stack([np.asarray(image_to_square(image, preprocessing)) for image in made])
        dataset = squares, np.zeros(len(squares), int)
    if isinstance(dataset, Dataset):
        test = dataset.test.images, dataset.test.labels
        train = dataset.train.images if len(dataset.train) else test[0]
    else:
        test, train = dataset, dataset[0]
    size = preprocessing.image_size
    if not len(test[0]) or test[0].shape[1:] != (size, size, 3) or test[0].dtype != np.uint8:
        raise ValueError(
            f"dataset: expected test images of {size}x{size}x3 (preprocessing), uint8, got "
            f"{tuple(test[0].shape)}, {test[0].dtype}"
        )
    labels, classes = class_numbers(test[1], len(test[0])), len(classifier.class_names)
    if int8 and not 0 <= labels.min() <= labels.max() < max(2, classes):
        raise ValueError(
            f"dataset: expected labels from 0 to {max(2, classes) - 1}, one of the classes of "
            f"{classifier.model.name!r} each, got {labels.min()} to {labels.max()}"
        )
    most = 2**30 // (size * size * 3)  # images in a GiB
    chosen = _spread(len(test[0]), most if int8 else IMAGES)
    calibration = train[_spread(len(train), CALIBRATION if int8 else 1)]
    return test[0][chosen], labels[chosen], calibration


def _spread(count: int, wanted: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(wanted, count)).astype(int)


def pixels_network(classifier: Classifier) -> keras.Model:
    """Return the flat network, of Keras' own layers, from pixels to logits."""
    model, preprocessing = classifier.model, classifier.preprocessing
    if model.inputs[0].shape[-1] != 3:
        raise ValueError(
            f"model: {model.name!r} takes channels first; build it with channels last, which has "
            "the same weights (set_weights(model.get_weights()))"
        )

    def plain(layer, config):
        config.pop("lowering", None)
        config.pop("synchronized", None)
        kind = type(layer)
        if kind.__module__.startswith("keras_resnext."):
            kinds = (keras.layers.Conv2D, keras.layers.BatchNormalization)
            kind = next(each for each in kinds if isinstance(layer, each))
        for part in (kind, getattr(layer, "activation", None)):
            if part and not getattr(part, "__module__", "").startswith("keras."):
                name = getattr(part, "__name__", part)
                raise ValueError(
                    f"model: the layer {layer.name!r} needs {name} of {part.__module__}; only "
                    "Keras' layers and activations, and ours, can be exported"
                )
        return kind

    network = logits_network(model, plain)
    size = preprocessing.image_size
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    pixels = images
    if (preprocessing.mean, preprocessing.std) != (RAW["mean"], RAW["std"]):
        # `keras.layers.Rescaling` goes by the image data format of whoever loads the file.
        variance = [std**2 for std in preprocessing.std]
        pixels = keras.layers.Normalization(
            mean=preprocessing.mean, variance=variance, dtype="float32", name="pixels"
        )(images)
    return rebuild_flat(keras.Model(images, network(pixels), name=model.name))


def _batches(images: np.ndarray) -> list[np.ndarray]:
    """One image first and then the rest: a batch may have any size."""
    return [images[:1], *(images[i : i + BATCH] for i in range(1, len(images), BATCH))]


def _outputs(compute: Any, images: np.ndarray) -> np.ndarray:
    outputs = [keras.ops.convert_to_numpy(compute(batch)) for batch in _batches(images)]
    return np.concatenate(outputs)


def _check_copy(classifier: Classifier, expected: np.ndarray, images: np.ndarray) -> None:
    """Compare the network that is written with the user's own model, given the user's pixels."""
    own = _outputs(classifier.compute, images)
    check_finite(own)
    if classifier.activation in ("softmax", "sigmoid"):
        expected = probabilities(expected, classifier.activation)
    layers = classifier.model._flatten_layers()
    exact = {layer.compute_dtype for layer in layers} == {"float32"}
    exact = exact and not backend.native.accelerators()
    _compare({"outputs": (own, expected)}, TOLERANCE if exact else ROUNDED)


def _write(format: str, backend_name: str, folder: Path) -> None:
    """Write in a process that ends with this one: a pipe to it closes when this one is killed."""
    with subprocess.Popen(
        [sys.executable, "-m", "keras_resnext.export.formats", format, folder.absolute()],
        env=child_environment(KERAS_BACKEND=backend_name, PYTHONPATH=os.pathsep.join(sys.path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        log = process.stdout.read().decode(errors="replace")
        status = process.wait()
    if status:
        print(log, file=sys.stderr)
        raise RuntimeError(f"writing {format} failed with status {status}; its error is above")


def _answers(
    file: Path, chosen: Format, preprocessing: Preprocessing, images: np.ndarray
) -> dict[str, np.ndarray]:
    """Run an export without Keras and this package; a SavedModel by all its signatures."""
    found = []
    name = chosen.backend or keras.config.backend()
    with run_exported(file, trusted=True, KERAS_BACKEND=name) as run:
        for batch in _batches(images):
            request = {DEFAULT: batch}
            if file.name == "saved_model.pb":
                request |= {"serve_uint8": batch, "serve_bytes": _framed(batch, preprocessing)}
            found.append(run(request))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _framed(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Give images a black frame that preprocessing cuts off again."""
    margin = preprocessing.resize_size - preprocessing.image_size
    before = round(margin / 2)  # as the crop rounds
    sides = (before, margin - before)
    return np.pad(images, ((0, 0), sides, sides, (0, 0)))


def check_answers(
    answers: Mapping[str, np.ndarray],
    logits: np.ndarray,
    class_names: tuple[str, ...],
    activation: str,
) -> str:
    """Compare answers by `SIGNATURE/OUTPUT` with the network's logits, float32 (batch, classes).

    Returns the largest differences, in words.
    """
    scores = probabilities(logits, activation)
    wanted = {"logits": logits, "probabilities": scores}
    pairs = {
        name: (found, wanted[kind])
        for name, found in answers.items()
        if (kind := name.partition("/")[2]) in wanted
    }
    if (named := answers.get("serve_bytes/classes")) is not None:
        best = np.sort(scores)[:, ::-1][:, : named.shape[1]]
        pairs["serve_bytes/scores"] = answers["serve_bytes/scores"], best
        # A class of that name has that score: which one, equal scores and names (ImageNet has two
        # cranes) leave open.
        names = np.array([name.encode() for name in class_names])
        off = np.where(names == named[..., None], abs(scores[:, None] - best[..., None]), np.inf)
        pairs["serve_bytes/classes"] = off.min(axis=-1), np.zeros(1)
    largest = _compare(pairs, TOLERANCE)
    return f"largest differences from the trained network on {len(logits)} images: {largest}"


def check_accuracy(logits: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> str:
    """Compare the accuracy of an int8 export with the network's; returns both, in words."""
    best = (x.argmax(axis=1) if x.shape[1] > 1 else x[:, 0] > 0 for x in (expected, logits))
    before, after = (float((labels == found).mean()) for found in best)
    if not np.isfinite(logits).all() or before - after > MAX_LOSS:
        raise ExportError(
            f"int8 takes the accuracy from {before:.2%} to {after:.2%}, more than {MAX_LOSS:.0%} "
            "lost. Nothing was kept; export in float32"
        )
    return (
        f"accuracy on {len(labels)} test images: {before:.2%} as trained, {after:.2%} in int8 "
        f"({100 * (after - before):+.2f} points)"
    )


def _compare(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], tolerance: float) -> str:
    differences = {name: np.abs(found - wanted).max() for name, (found, wanted) in pairs.items()}
    for name, difference in differences.items():
        bound = tolerance * max(1.0, np.abs(pairs[name][1]).max())
        if not difference <= bound:  # written so that a NaN fails too
            raise ExportError(
                f"the export does not compute what the model does: its {name} differ by "
                f"{difference:.1e} (bound {bound:.1e}). Nothing was kept"
            )
    return ", ".join(f"{name} {difference:.1e}" for name, difference in differences.items())


def _card(classifier: Classifier, name: str, format: str, check: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    command = shlex.join([COMMAND, *sys.argv[1:]]) if is_command() else "keras_resnext.export"
    how = (
        f"`{command}`, as {format}, under {keras.config.backend()}; Python "
        f"{platform.python_version()}, {versions}. Batch normalization is folded into the "
        f"convolutions. Run without Keras, {check}."
    )
    if classifier.checkpoint:
        used = replace(
            classifier.checkpoint,
            preprocessing=classifier.preprocessing,
            class_names=classifier.class_names,
        )
        return model_card(used, how=how)
    model = classifier.model
    return f"""# {name}

{model.name}, {model.count_params():,} parameters, {len(classifier.class_names)} classes.

Its training data, accuracy and license are not known here: write them down before you pass it on.

## How it was made

{how}
"""


def _publish(folder: Path, path: Path) -> Path:
    """Move a finished export to where a server looks, as the next version, all at once.

    A server that watches `path` never sees a part of it.
    """
    path.mkdir(exist_ok=True)
    for written in (*folder.rglob("*"), folder):
        to_disk(written)
    while True:
        taken = [int(each.name) for each in path.iterdir() if each.name.isdecimal()]
        target = path / str(max(taken, default=0) + 1)
        try:
            os.rename(folder, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            to_disk(path)
            return target
