import keras
import numpy as np
import pytest

from keras_resnext import ResNeXt
from keras_resnext.export.formats import keras_file
from keras_resnext.export.formats.network import from_pixels
from tests.export.conftest import randomise
from tests.gradients import relative_error


@pytest.mark.parametrize("block", ["grouped", "concatenated"])
def test_holds_keras_layers_only_and_computes_the_same(block, dataset, tmp_path):
    network = ResNeXt(
        (1,),
        cardinality=2,
        block=block,
        input_shape=(32, 32, 3),
        classes=5,
        classifier_activation=None,
    )
    network = from_pixels(randomise(network), dataset.preprocessing)
    keras_file.write(network, tmp_path / "model.keras")
    plain = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert {type(x).__module__.split(".")[0] for x in plain._flatten_layers()} == {"keras"}
    images = dataset.test.images.astype(np.float32)
    found, expected = (x.predict(images, verbose=0) for x in (plain, network))
    assert relative_error(found, expected) < 1e-5
