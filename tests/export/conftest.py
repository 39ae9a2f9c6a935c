import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_resnext import data
from keras_resnext.commands.export import main
from keras_resnext.training.folder import SETTINGS_FILE
from keras_resnext.training.network import build_network
from keras_resnext.training.trained import find_trained
from tests.training.tiny import SETTINGS, shrink, tiny_demo

RESULTS = {
    "test_accuracy_best": 0.875,
    "test_top5_accuracy_best": 0.9625,
    "test_accuracy_last": 0.85,
    "test_top5_accuracy_last": 0.95,
}


def randomise(model, seed=0):
    """Batch normalisation too: at its initial values it does nothing."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="session")
def dataset():
    return tiny_demo("demo")


@pytest.fixture(scope="session")
def run(tmp_path_factory, dataset):
    """Folder of a run whose weights are random."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    settings = replace(SETTINGS, precision="float32")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        model = randomise(build_network(settings, dataset.input_shape, dataset.num_classes))
    model.save_weights(folder / "best.weights.h5")
    model.save(folder / "model.keras")
    (folder / SETTINGS_FILE).write_text(settings.to_toml())
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return folder


class Export(NamedTuple):
    folder: Path
    probabilities: np.ndarray


@pytest.fixture(scope="session")
def export(run, dataset, tmp_path_factory):
    """The export of that run by the command, and the probabilities of all test images."""
    output_dir = tmp_path_factory.mktemp("saved_models")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        arguments = [str(run), "--output-dir", str(output_dir)]
        assert main(arguments) == 0
        model = find_trained(run).model(dataset)
    mean, std = dataset.preprocessing.mean, dataset.preprocessing.std
    images = data.normalise(dataset.test.images, mean, std)
    return Export(output_dir / "tiny/1", model.predict(images, verbose=0))
