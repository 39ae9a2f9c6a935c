"""What the files hold that are written under PyTorch."""

import keras
import numpy as np
import pytest

from keras_resnext.export.formats import runner
from tests.export.formats.conftest import assert_near, skip_without

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "torch", reason="these writers run under PyTorch"
)


def test_a_program_holds_each_weight_once(network, tmp_path):
    import torch

    from keras_resnext.export.formats import exported_program

    exported_program.write(network, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2")
    stored = [*program.state_dict.values(), *program.constants.values()]
    normalisation = 7  # mean and variance by channel, epsilon
    assert sum(x.numel() for x in stored) == network.count_params() + normalisation


def test_onnx_names_what_it_takes_and_gives_and_needs_no_other_library(network, tmp_path):
    skip_without("onnx")
    import onnx

    from keras_resnext.export.formats import onnx as writer

    writer.write(network, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (given,), (answer,) = model.graph.input, model.graph.output
    shapes = [
        [axis.dim_param or axis.dim_value for axis in x.type.tensor_type.shape.dim]
        for x in (given, answer)
    ]
    assert (given.name, answer.name) == ("images", "logits")
    assert shapes == [["batch", 32, 32, 3], ["batch", 12]]
    assert {node.domain for node in model.graph.node} == {""}
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_onnx_int8_holds_weights_and_activations_in_int8(network, dataset, tmp_path):
    skip_without("onnx-int8")
    import onnx

    from keras_resnext.export.formats import onnx_int8

    file = tmp_path / "model.onnx"
    onnx_int8.write(network, file, dataset.train.images.astype(np.float32))
    assert_near(runner.onnxruntime(str(file)), network, dataset)
    graph = onnx.load(file).graph
    stored = {x.name: x.data_type for x in graph.initializer}
    origins = {x.output[0]: x.input[0] for x in graph.node if x.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        activation, kernel, *bias = (origins[name] for name in node.input)
        assert activation not in stored
        assert stored[kernel] == onnx.TensorProto.INT8
        assert {stored[name] for name in bias} <= {onnx.TensorProto.INT32}
