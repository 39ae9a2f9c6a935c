from importlib.util import find_spec

import pytest

from keras_resnext.export.formats import runner
from keras_resnext.export.formats.network import from_pixels
from keras_resnext.export.formats.table import FORMATS
from keras_resnext.export.network import inference_network
from keras_resnext.training.trained import find_trained
from tests.gradients import relative_error
from tests.training.tiny import shrink


def skip_without(name):
    """Skip the test where packages of a format are not installed."""
    missing = [package for package in FORMATS[name].packages if not find_spec(package)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: keras-resnext[{FORMATS[name].extra}]")


def assert_near(int8, network, dataset):
    """Eight bits tell 256 values apart, and the network is a few layers deep."""
    images = dataset.test.images
    expected = runner.logits(lambda x: network.predict(x, verbose=0), images)
    assert 0 < relative_error(runner.logits(int8, images), expected) < 0.1


@pytest.fixture
def tiny(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture
def network(tiny, run, dataset):
    """What the writers are given."""
    return from_pixels(inference_network(find_trained(run), dataset), dataset.preprocessing)
