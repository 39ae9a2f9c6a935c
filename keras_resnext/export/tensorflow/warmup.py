"""Requests that TensorFlow Serving answers to itself before it lets clients in."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_resnext.export.interface import Interface

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"


def write_warmup(folder: Path, image: np.ndarray, interface: Interface) -> None:
    """Add one request a signature to a SavedModel, so that the first client need not wait.

    Args:
        folder: of the SavedModel.
        image: uint8 (height, width, 3), as the network takes it.
        interface: what a client meets.

    Raises:
        ImportError: tensorflow-serving-api, which has the messages, is not installed.

    Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    inputs = {
        "serving_default": ("images", image[None].astype(np.float32)),
        "serve_uint8": ("images", image[None]),
        "serve_bytes": ("image_bytes", [tf.io.encode_png(image).numpy()]),
    }
    (folder / PLACE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / PLACE)) as writer:
        for signature, (argument, value) in inputs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = interface.name
            request.model_spec.signature_name = signature
            request.inputs[argument].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
