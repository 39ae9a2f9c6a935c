"""A SavedModel that every TensorFlow Serving runs; written under TensorFlow."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnext.export.decoding import decode
from keras_resnext.inference.exported import LABELS, PREPROCESSING
from keras_resnext.inference.network import rebuild_flat
from keras_resnext.preprocessing import Preprocessing

TOP = 5
WARM_UP = Path("assets.extra") / "tf_serving_warmup_requests"


class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` by TensorFlow's plain operations.

    Keras lets XLA compile a grouped convolution, and TensorFlow Serving switches XLA off. Keras
    adds the bias by `BiasAdd`, which Grappler fuses with the convolution even where oneDNN is off,
    into a kernel that refuses groups. `AddV2` it fuses for oneDNN alone; but where a shortcut is
    added next, it joins the two additions instead.
    """

    def call(self, inputs):
        """Convolve (batch, height, width, channels)."""
        kernel = tf.convert_to_tensor(self.kernel)
        out = tf.nn.convolution(
            inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
        )
        if self.use_bias:
            bias = tf.convert_to_tensor(self.bias)
            out = tf.add(out, bias) if self.groups > 1 else tf.nn.bias_add(out, bias)
        return self.activation(out)


def without_xla(network: keras.Model) -> keras.Model:
    """Return a copy of a flat network whose convolutions need no XLA."""
    return rebuild_flat(
        network, lambda layer, _: Convolution if type(layer) is keras.layers.Conv2D else None
    )


def write(network: keras.Model, folder: Path, image: np.ndarray) -> None:
    """Write a SavedModel, with requests to warm it up where tensorflow-serving-api is installed.

    Args:
        network: from pixels, float32 (batch, size, size, 3), channels last, to logits; folded.
        folder: to write to, of the served model's name; beside it lie the labels and the
            preprocessing.
        image: pixels to warm up by, float32 (size, size, 3).
    """
    served = Served(network, folder.parent)
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    (folder / WARM_UP.parent).mkdir()
    with suppress(ImportError):
        _write_warm_up(folder / WARM_UP, image, folder.name)


class Served(tf.Module):
    """A network between raw images and what a client asks for, as `described` in a folder."""

    def __init__(self, network: keras.Model, described: Path):
        super().__init__()
        self._network = frozen(network)
        values = json.loads((described / PREPROCESSING).read_text())
        known = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}
        self._to_probabilities = known.get(values.pop("activation"), tf.identity)
        self._preprocessing = Preprocessing.from_dict(values)
        self._class_names = (described / LABELS).read_text(encoding="utf-8").splitlines()
        self._labels = tf.saved_model.Asset(str(described / LABELS))

    def signatures(self) -> dict[str, Callable]:
        """Return the signatures by name, with what each takes."""
        size = self._preprocessing.image_size
        image = (None, size, size, 3)
        taken = {
            "serving_default": (self.scores, tf.TensorSpec(image, tf.float32, "images")),
            "serve_uint8": (self.scores, tf.TensorSpec(image, tf.uint8, "images")),
            "serve_bytes": (self.top, tf.TensorSpec((None,), tf.string, "image_bytes")),
        }
        return {
            name: tf.function(serve, input_signature=[spec])
            for name, (serve, spec) in taken.items()
        }

    def scores(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """From pixels, 0 to 255, to `logits` and `probabilities`, float32 (batch, classes)."""
        images = _checked(images, "images")
        logits = self._network(tf.cast(images, tf.float32))
        return {"logits": logits, "probabilities": self._to_probabilities(logits)}

    def top(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """From files to the most likely `classes` by name and their `scores`, (batch, 5)."""
        images = decode(_checked(image_bytes, "image_bytes"), self._preprocessing)
        probabilities = self._to_probabilities(self._network(images))
        names = tf.constant(self._class_names)
        scores, labels = tf.math.top_k(probabilities, min(TOP, len(names)))
        return {"classes": tf.gather(names, labels), "scores": scores}


def frozen(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a network as a function without XLA, its weights constants.

    `keras.export.ExportArchive` would keep variables, out of Grappler's reach.
    """
    plain = without_xla(network)
    trainable = [variable.numpy() for variable in plain.trainable_variables]
    others = [variable.numpy() for variable in plain.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec(plain.input_shape, tf.float32)])
    def compute(images):
        outputs, _ = plain.stateless_call(trainable, others, images, training=False)
        return outputs

    return compute


def _checked(batch: tf.Tensor, name: str) -> tf.Tensor:
    """Let nothing through that is not a batch of the declared shape.

    A server does not hold requests to the shape that a signature declares, and an array of too few
    dimensions would end its process in a convolution.
    """
    batch = tf.ensure_shape(batch, batch.shape)
    message = f"{name}: expected a batch of one or more, got none"
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(batch)[0] > 0, [message])]):
        return tf.identity(batch)


def _write_warm_up(file: Path, image: np.ndarray, name: str) -> None:
    """Write one request per signature, which a server answers to itself before it lets clients in.

    Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    pixels = image.astype(np.uint8)
    inputs = {
        "serving_default": ("images", image[None]),
        "serve_uint8": ("images", pixels[None]),
        "serve_bytes": ("image_bytes", [tf.io.encode_png(pixels).numpy()]),
    }
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, (argument, value) in inputs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            request.inputs[argument].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
