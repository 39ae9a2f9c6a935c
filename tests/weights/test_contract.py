"""The contract of keras.applications: the tests that Keras has of it, on our networks.

Keras' wheel holds its tests; the list of networks in them gives way to ours. The test that
downloads weights and an image is left out: `test_hub.py` has published weights by name, and
`tests/test_preprocessing.py` images and the names of classes, as Keras has them.
"""

import functools
import importlib.util

import keras

import keras_resnext
from keras_resnext.weights.files import without_values
from tests.peers import keras_tests, no_tests

CHANNELS = {"ResNeXt29": 1024, "ResNeXt50": 2048}
if keras.backend.backend() == "torch":  # these have more blocks, which takes longer, and no more
    CHANNELS |= {"ResNeXt101": 2048, "ResNeXt152": 2048}


def _without_values(build):
    """Keras' tests look at shapes only, and initial values would take most of the time."""

    @functools.wraps(build)
    def app(*args, **kwargs):
        return without_values(lambda: build(*args, **kwargs))

    return app


def _with_ours():
    source = keras_tests("applications/applications_test.py")
    if source is None:
        return no_tests()
    begin = source.index("MODEL_LIST = [")
    end = source.index("\n]\n", begin)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("keras_applications_test", loader=None)
    )
    module.MODEL_LIST = [
        (_without_values(getattr(keras_resnext, name)), channels, keras_resnext)
        for name, channels in CHANNELS.items()
    ]
    source = source[:begin] + source[end + 3 :]
    exec(compile(source, "applications_test.py", "exec"), vars(module))
    return module.ApplicationsTest


class TestContract(_with_ours()):
    pass


for _name in dir(TestContract):
    if _name.startswith("test_application_base"):
        setattr(TestContract, _name, None)
