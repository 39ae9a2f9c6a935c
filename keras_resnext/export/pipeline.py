"""From a trained network to files that other programs run: fold, write, run, compare, publish."""

import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_resnext import backend
from keras_resnext.data import Dataset
from keras_resnext.data.decoding import image_to_square
from keras_resnext.data.demo import CLASS_NAMES, load_demo
from keras_resnext.export.formats import FORMATS, Format
from keras_resnext.files import to_disk, unfinished
from keras_resnext.inference.classifier import (
    Classifier,
    Source,
    is_raw,
    model_classifier,
    probabilities,
)
from keras_resnext.inference.exported import (
    LABELS,
    PREPROCESSING,
    child_environment,
    run_exported,
)
from keras_resnext.inference.network import logits_network, rebuild_flat
from keras_resnext.inference.runtimes import DEFAULT
from keras_resnext.preprocessing import Preprocessing
from keras_resnext.publishing import model_card

IMAGES, CALIBRATION, BATCH = 64, 256, 64  # LiteRT's guide asks for 100 to 500 to calibrate by
TOLERANCE = 1e-4
"""Of probabilities; of logits relative to the largest, which goes up to 40."""
ROUNDED = 5e-2
"""Likewise, between float32 on the CPU and a model that computes in half precision or on a GPU."""
MAX_LOSS = 0.05
"""Of accuracy, by int8: sound calibration costs less than a hundredth."""
Labeled = tuple[np.ndarray, np.ndarray]


class ExportError(RuntimeError):
    """An export does not compute what the network does. Nothing was kept."""


@dataclass(frozen=True)
class Export:
    """An export that has been verified.

    Attributes:
        folder: PATH/VERSION.
        check: what was found, in words.
        warm: whether a SavedModel holds requests to warm a server up; None in other formats.
    """

    folder: Path
    check: str
    warm: bool | None


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
            (N, height, width, 3) and int (N,).

    Returns:
        `path/VERSION`. It takes float32 (batch, height, width, 3), pixels from 0 to 255, any batch.

    Raises:
        ValueError: the format is unknown, the model is no classifier of one image, or names or
            sizes do not fit it.
        ImportError: a package is not installed.
        OSError: `path` cannot be written to.
        ExportError: (a RuntimeError) the export computes something else.
        RuntimeError: writing or running failed.

    Example:
        >>> keras_resnext.export(model, "saved_models/flowers", class_names=["daisy", "rose"])
    """
    return run_export(source, path, format, class_names, preprocessing, dataset).folder


def run_export(
    source: Source,
    path: str | os.PathLike,
    format: str = "saved_model",
    class_names: tuple[str, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    dataset: Dataset | Labeled | None = None,
    how: str = "keras_resnext.export",
) -> Export:
    """Export as `export`, and return what was found; the model card quotes `how`."""
    path = Path(path)
    chosen = _check(path, format)
    if dataset is None and chosen.int8:
        raise ValueError(
            f"dataset: {format} is calibrated on real images; give a dataset, such as training "
            "images in a folder per class"
        )
    if isinstance(dataset, Dataset):
        class_names = class_names or dataset.class_names
    classifier = model_classifier(source, class_names, preprocessing)
    images, labels, calibration = _images(dataset, classifier.preprocessing, chosen.int8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(path) as scratch:
        folder = scratch / "export"
        # A GPU may round float32 to fewer digits, and would not be fit to compare with. Elsewhere
        # there is no need, and under PyTorch layers with random states fail to build within.
        with keras.device("cpu:0") if backend.native.accelerators() else nullcontext():
            network = pixels_network(classifier)
            expected = _outputs(network.predict_on_batch, images)
        _check_copy(classifier, expected, images)
        network.save(scratch / "network.keras")
        interface = _write_interface(scratch, classifier, path.name)
        np.save(scratch / "images.npy", images[:1])
        np.save(scratch / "calibration.npy", calibration)
        _write(format, chosen.backend or keras.config.backend(), scratch)
        answers = _answers(folder / chosen.file, chosen, classifier.preprocessing, images)
        if chosen.int8:
            check = check_accuracy(answers[f"{DEFAULT}/logits"], expected, labels)
        else:
            check = check_answers(answers, expected, interface)
        warm = _describe(folder, interface, classifier, check, how, format)
        return Export(_publish(folder, path), check, warm)


def _check(path: Path, format: str) -> Format:
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if not re.fullmatch(r"\w[\w.-]*", path.name, re.ASCII):
        raise ValueError(
            f"name: expected letters, digits, '-', '_' and '.', since it is part of the address on "
            f"a server, got {path.name!r}"
        )
    chosen = FORMATS[format]
    if missing := [package for package in chosen.packages if not find_spec(package)]:
        raise ImportError(
            f"the format {format} needs {', '.join(missing)}, whatever backend trained. "
            f'Type: pip install "keras-resnext[{chosen.extra}]"'
        )
    return chosen


def _images(
    dataset: Dataset | Labeled | None, preprocessing: Preprocessing, int8: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images to verify by, their labels, and images to calibrate by, spread over the split."""
    if dataset is None:
        from PIL import Image

        made = load_demo(1, 1, -(-IMAGES // len(CLASS_NAMES))).test.images
        squares = [image_to_square(Image.fromarray(image), preprocessing) for image in made]
        return np.stack([np.asarray(square) for square in squares]), np.zeros(len(made)), made[:0]
    if isinstance(dataset, Dataset):
        test = dataset.test.images, dataset.test.labels
        train = dataset.train.images if len(dataset.train) else test[0]
    else:
        test, train = dataset, dataset[0]
    size = preprocessing.image_size
    if not len(test[0]) or test[0].shape[1:] != (size, size, 3):
        raise ValueError(
            f"dataset: expected test images of {size}x{size}x3 (preprocessing), got "
            f"{tuple(test[0].shape)}"
        )
    most = 2**30 // (size * size * 3)  # images in a GiB
    chosen = _spread(len(test[0]), most if int8 else IMAGES)
    return test[0][chosen], np.asarray(test[1])[chosen], train[_spread(len(train), CALIBRATION)]


def _spread(count: int, wanted: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(wanted, count)).astype(int)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path`, so that what it holds can be moved into place in one step."""
    folder = unfinished(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pixels_network(classifier: Classifier) -> keras.Model:
    """Return the flat network, of Keras' own layers, from pixels to logits.

    Args:
        classifier: of a Keras model with channels last.

    Raises:
        ValueError: it has channels first, or layers that are neither Keras' nor ours.
    """
    model, preprocessing = classifier.model, classifier.preprocessing
    assert model is not None
    if model.inputs[0].shape[-1] != 3:
        raise ValueError(
            f"model: {model.name!r} takes channels first; build it with channels last, which has "
            "the same weights (set_weights(model.get_weights()))"
        )

    def plain(layer, config):
        config.pop("lowering", None)
        config.pop("synchronized", None)
        for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization):
            if isinstance(layer, kind) and type(layer).__module__.startswith("keras_resnext."):
                return kind
        if not type(layer).__module__.startswith("keras."):
            raise ValueError(
                f"model: the layer {layer.name!r} is a {type(layer).__name__} of "
                f"{type(layer).__module__}; only Keras' layers and ours can be exported"
            )
        return None

    network = logits_network(model, plain)
    size = preprocessing.image_size
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    pixels = images
    if not is_raw(preprocessing):
        # `keras.layers.Rescaling` goes by the image data format of whoever loads the file.
        variance = [std**2 for std in preprocessing.std]
        pixels = keras.layers.Normalization(
            mean=preprocessing.mean, variance=variance, dtype="float32", name="pixels"
        )(images)
    return rebuild_flat(keras.Model(images, network(pixels), name=model.name))


def _outputs(compute: Any, images: np.ndarray) -> np.ndarray:
    """Compute one image first and then the rest: a batch may have any size."""
    batches = [images[:1], *(images[i : i + BATCH] for i in range(1, len(images), BATCH))]
    return np.concatenate([keras.ops.convert_to_numpy(compute(batch)) for batch in batches])


def _check_copy(classifier: Classifier, expected: np.ndarray, images: np.ndarray) -> None:
    """Compare the network that is written with the user's own model, given the user's pixels."""
    own = _outputs(classifier.compute, images)
    if classifier.activation in ("softmax", "sigmoid"):
        expected = probabilities(expected, classifier.activation)
    layers = classifier.model._flatten_layers()  # type: ignore[union-attr]
    exact = {layer.compute_dtype for layer in layers} == {"float32"}
    exact = exact and not backend.native.accelerators()
    _compare({"outputs": (own, expected)}, TOLERANCE if exact else ROUNDED)


def _write_interface(scratch: Path, classifier: Classifier, name: str) -> dict[str, Any]:
    activation = classifier.activation
    interface = {
        "name": name,
        "class_names": classifier.class_names,
        "preprocessing": asdict(classifier.preprocessing),
        "activation": "softmax" if activation == "linear" else activation,
    }
    (scratch / "interface.json").write_text(json.dumps(interface), encoding="utf-8")
    return interface


def _write(format: str, backend_name: str, scratch: Path) -> None:
    """Write in a process that ends with this one: a pipe to it closes when this one is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_resnext.export.formats", format, scratch.absolute()],
        env=child_environment(KERAS_BACKEND=backend_name, PYTHONPATH=_python_path()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout
        log = process.stdout.read().decode(errors="replace")
        if status := process.wait():
            print(log, file=sys.stderr)
            raise RuntimeError(f"writing {format} failed with status {status}; its error is above")
    finally:
        process.kill()
        process.wait()


def _python_path() -> str:
    package = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))


def _answers(
    file: Path, chosen: Format, preprocessing: Preprocessing, images: np.ndarray
) -> dict[str, np.ndarray]:
    """Run an export without Keras and this package; a SavedModel by all its signatures."""
    environment = {"KERAS_BACKEND": chosen.backend or keras.config.backend()}
    found = []
    with run_exported(file, trusted=True, **environment) as run:
        for batch in (images[:1], *np.split(images[1:], range(BATCH, len(images) - 1, BATCH))):
            request = {DEFAULT: batch}
            if chosen.file == "saved_model.pb":
                request |= {"serve_uint8": batch, "serve_bytes": framed(batch, preprocessing)}
            if len(batch):
                found.append(run(request))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def framed(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return images with a black frame, which preprocessing cuts off, leaving them as they were.

    Args:
        images: uint8 (batch, image_size, image_size, 3).
        preprocessing: by which they come out unchanged.
    """
    margin = preprocessing.resize_size - preprocessing.image_size
    before = round(margin / 2)  # as the crop rounds
    sides = (before, margin - before)
    return np.pad(images, ((0, 0), sides, sides, (0, 0)))


def check_answers(
    answers: Mapping[str, np.ndarray], logits: np.ndarray, interface: Mapping[str, Any]
) -> str:
    """Compare what an export answered with the network's logits, (batch, classes).

    Args:
        answers: of each signature by `SIGNATURE/OUTPUT`, for the same images.
        logits: float32 (batch, classes), the network's own.
        interface: class names, and the activation.

    Returns:
        The largest differences, in words.

    Raises:
        ExportError: one exceeds its bound, or is not a number.
    """
    scores = probabilities(logits, interface["activation"])
    pairs = {}
    for name, found in answers.items():
        kind = name.partition("/")[2]
        if kind in ("logits", "probabilities"):
            pairs[name] = found, logits if kind == "logits" else scores
    if (named := answers.get("serve_bytes/classes")) is not None:
        names = np.array([name.encode() for name in interface["class_names"]])
        best = np.sort(scores)[:, ::-1][:, : named.shape[1]]
        # Of several classes of one name (ImageNet has two cranes) the one that is meant.
        nearest = [
            [
                min(row[names == name], key=lambda score: abs(score - wanted))
                for name, wanted in each
            ]
            for row, each in zip(scores, map(zip, named, best), strict=True)
        ]
        pairs["serve_bytes/scores"] = answers["serve_bytes/scores"], best
        pairs["serve_bytes/classes"] = np.array(nearest), best
    differences = _compare(pairs, TOLERANCE)
    largest = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    return f"largest differences from the trained network on {len(logits)} images: {largest}"


def check_accuracy(logits: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> str:
    """Compare the accuracy of an int8 export with the network's.

    Returns:
        Both accuracies, in words.

    Raises:
        ExportError: it falls by more than `MAX_LOSS`, or a logit is not a number.
    """
    before, after = (float((x.argmax(axis=1) == labels).mean()) for x in (expected, logits))
    if not np.isfinite(logits).all() or before - after > MAX_LOSS:
        raise ExportError(
            f"int8 takes the accuracy from {before:.2%} to {after:.2%}, more than {MAX_LOSS:.0%} "
            "lost. Nothing was kept; export in float32"
        )
    return (
        f"accuracy on {len(labels)} test images: {before:.2%} as trained, {after:.2%} in int8 "
        f"({100 * (after - before):+.2f} points)"
    )


def _compare(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], tolerance: float
) -> dict[str, float]:
    differences = {}
    for name, (found, wanted) in pairs.items():
        differences[name] = float(np.abs(found - wanted).max())
        bound = tolerance * max(1.0, float(np.abs(wanted).max()))
        if not differences[name] <= bound:  # written so that a NaN fails too
            raise ExportError(
                f"the export does not compute what the model does: its {name} differ by "
                f"{differences[name]:.1e} (bound {bound:.1e}). Nothing was kept"
            )
    return differences


def _describe(
    folder: Path,
    interface: Mapping[str, Any],
    classifier: Classifier,
    check: str,
    how: str,
    format: str,
) -> bool | None:
    """Write what people and programs need to know beside the model; where a SavedModel has room."""
    is_saved_model = (folder / "saved_model.pb").exists()
    extra = folder / "assets.extra" if is_saved_model else folder
    if not is_saved_model:
        text = "".join(f"{name}\n" for name in interface["class_names"])
        (folder / LABELS).write_text(text, encoding="utf-8")
    values = interface["preprocessing"] | {"activation": interface["activation"]}
    (extra / PREPROCESSING).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    made = (
        f"`{how}`, as {format}, under {keras.config.backend()}; Python "
        f"{platform.python_version()}, {versions}. Batch normalization is folded into the "
        f"convolutions. Run without Keras, {check}."
    )
    if classifier.checkpoint:
        card = model_card(classifier.checkpoint, how=made)
    else:
        card = _short_card(classifier, interface["name"], made)
    (extra / "model_card.md").write_text(card, encoding="utf-8")
    return (extra / "tf_serving_warmup_requests").exists() if is_saved_model else None


def _short_card(classifier: Classifier, name: str, how: str) -> str:
    model, size = classifier.model, classifier.preprocessing.image_size
    assert model is not None
    return f"""# {name}

{model.name}, {model.count_params():,} parameters, {len(classifier.class_names)} classes
(`labels.txt`), from RGB images of {size}x{size}, pixels from 0 to 255 (`preprocessing.json`).

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
