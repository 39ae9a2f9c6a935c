"""What the files hold that are written under TensorFlow."""

from collections import Counter
from xml.etree import ElementTree

import keras
import numpy as np
import pytest

from keras_resnext.export.formats import runner
from tests.export.formats.conftest import assert_near, skip_without

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="these writers run under TensorFlow"
)


def test_litert_int8_is_float_at_its_ends_only(network, dataset, tmp_path):
    skip_without("litert-int8")
    from ai_edge_litert.interpreter import Interpreter

    from keras_resnext.export.formats import litert_int8

    file = tmp_path / "model.tflite"
    litert_int8.write(network, file, dataset.train.images.astype(np.float32))
    assert_near(runner.litert(str(file)), network, dataset)
    interpreter = Interpreter(str(file))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["images"], "outputs": ["logits"]}
    }
    kinds = Counter(x["dtype"] for x in interpreter.get_tensor_details())
    assert kinds[np.float32] == 2
    assert set(kinds) == {np.float32, np.int8, np.int32}  # biases are int32


def test_openvino_keeps_weights_in_float32(network, tmp_path):
    skip_without("openvino")
    from keras_resnext.export.formats import openvino

    openvino.write(network, tmp_path / "model.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    constants = [
        layer.find("data").attrib
        for layer in ElementTree.parse(tmp_path / "model.xml").iter("layer")
        if layer.get("type") == "Const"
    ]
    kinds = {x["element_type"] for x in constants if int(x["size"]) > 64}
    assert kinds == {"f32"}
