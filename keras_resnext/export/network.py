"""The trained network as it is exported: in float32, channels last, from images to logits."""

import keras

from keras_resnext.data import Dataset
from keras_resnext.export.cloning import rebuild
from keras_resnext.training.trained import Trained


def inference_network(trained: Trained, dataset: Dataset) -> keras.Model:
    """Load a trained network for export.

    Args:
        trained: what `find_trained` found.
        dataset: that it was trained on.

    Returns:
        A network from normalised images, float32 (batch, height, width, 3), to logits, float32
        (batch, classes), whatever precision and image data format it was trained in.

    Raises:
        ValueError: it is not a classifier of this data set's images, or cannot be read.
    """
    data_format = keras.config.image_data_format()
    policy = keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_last")  # weights are the same in both
    try:
        model = trained.model(dataset)
    finally:
        keras.config.set_image_data_format(data_format)
        keras.config.set_dtype_policy(policy)
    _check_fit(model, trained, dataset)
    return _float32_logits(model)


def _float32_logits(model: keras.Model) -> keras.Model:
    head = model.layers[-1]

    def change(layer, config):
        config["dtype"] = "float32"
        if layer is head:
            config["activation"] = "linear"

    result = rebuild(model, change)
    result.set_weights(model.get_weights())
    return result


def _check_fit(model: keras.Model, trained: Trained, dataset: Dataset) -> None:
    head = getattr(model, "layers", [None])[-1]
    known = (keras.activations.softmax, keras.activations.linear)
    if not isinstance(head, keras.layers.Dense) or head.activation not in known:
        raise ValueError(
            f"target: expected a network that ends in a Dense layer, softmax or linear, "
            f"as ResNeXt does; {trained.path} does not"
        )
    taken, given = tuple(model.input_shape[1:]), model.output_shape[-1]
    if taken != dataset.input_shape or given != dataset.num_classes:
        raise ValueError(
            f"target: {trained.path} takes images {taken} and knows {given} classes, "
            f"{dataset.name} has {dataset.input_shape} (channels last) and {dataset.num_classes}; "
            "name the data set it was trained on"
        )
