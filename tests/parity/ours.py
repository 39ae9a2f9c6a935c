"""Our network with a peer's weights, and what it makes of images."""

from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import keras
import numpy as np
from keras import ops

from keras_resnext import ResNeXt, backend
from keras_resnext.features import feature_extractor
from keras_resnext.models import load_weights
from keras_resnext.weights.layers import LayerWeights
from keras_resnext.weights.naming import find_network


def from_torch(tensors: dict[str, np.ndarray]) -> LayerWeights:
    """Our layers' weights out of a state dict."""
    network, _ = find_network({name: tensor.shape for name, tensor in tensors.items()})
    return network.weights(tensors.__getitem__)


def with_weights_of(tensors: dict[str, np.ndarray]) -> keras.Model:
    """Build the network that a state dict is of, from images of any size to logits."""
    weights = from_torch(tensors)
    first = keras.config.image_data_format() == "channels_first"
    model = ResNeXt(
        **asdict(weights.architecture),
        input_shape=(3, None, None) if first else (None, None, 3),
        classes=weights.classes,
        classifier_activation=None,
    )
    load_weights(model, weights, "a peer")
    return model


def results(model: keras.Model, images: np.ndarray, cotangent: np.ndarray) -> dict[str, np.ndarray]:
    """As `peers.results`, of a network in the current image data format."""
    with _operation_by_operation():
        tensor = ops.convert_to_tensor(_from_channels_last(images))
        stages = feature_extractor(model, (1, 2, 3, 4))(tensor, training=False)
        run = backend.native.outputs_and_gradients(lambda x: model(x, training=False))
        logits, (gradient,) = run(ops.convert_to_tensor(cotangent), tensor)
    found = {f"stage {n}": _channels_last(stage) for n, stage in enumerate(stages, start=1)}
    return found | {
        "logits": ops.convert_to_numpy(logits),
        "input gradient": _channels_last(gradient),
    }


@contextmanager
def data_format(name: str):
    """Keras' global image data format, for a while."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(name)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def _operation_by_operation():
    """JAX would compile a hundred layers for each size, with their weights as constants."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    return jax.disable_jit()


def _from_channels_last(images):
    first = keras.config.image_data_format() == "channels_first"
    return np.moveaxis(images, -1, 1) if first else images


def _channels_last(tensor):
    array = ops.convert_to_numpy(tensor)
    return (
        np.moveaxis(array, 1, -1) if keras.config.image_data_format() == "channels_first" else array
    )
