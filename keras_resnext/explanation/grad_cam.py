"""Grad-CAM (Selvaraju et al., ICCV 2017): where features lie that speak for a class."""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops

from keras_resnext.features import feature_extractor, feature_info
from keras_resnext.native import gradients


@dataclass(frozen=True)
class Maps:
    """What `GradCAM` finds of N images, and of K classes in each.

    Attributes:
        labels: int (N, K).
        probabilities: float32 (N, K), of these classes among all.
        heat: float (N, K, height, width), of the images' size, from 0 to 1, the largest of each
            map; all 0 where nothing speaks for the class.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    heat: np.ndarray


class GradCAM:
    """Weigh each channel of a stage by its mean gradient, add them up, and keep what is positive.

    The gradient is that of the class's logit, as in the paper. A probability also rises where
    other classes lose, and hardly at all where the network is sure already.

    At the last stage of a ResNeXt this is CAM (Zhou et al., CVPR 2016), because means and a dense
    layer are all that follows. Earlier stages are of finer grain, and know less of classes.

    Args:
        network: a ResNeXt with top, from normalised images to logits: built with
            `classifier_activation=None`, or by `export.network.inference_network`.
        stage: as `keras_resnext.features.feature_info` counts; default: the last.

    Raises:
        ValueError: it is another network, or has no such stage.

    Example:
        >>> maps = GradCAM(network)(images)
        >>> maps.heat[0, 0]  # of the first image, for its likeliest class
    """

    def __init__(self, network: keras.Model, stage: int | None = None):
        info = feature_info(network)
        head = network.layers[-1]
        if getattr(head, "activation", None) is not keras.activations.linear:
            raise ValueError(
                f"network: expected one that ends in logits, got {network.name!r}, which ends in "
                f"{head.name!r}; build it with classifier_activation=None, weights fit either"
            )
        stage = len(info) - 1 if stage is None else stage
        self._to_features = feature_extractor(network, (stage,))
        self._stride = info[stage].stride
        self._to_logits = keras.Model(self._to_features.output, network.output)
        inference = partial(self._to_logits, training=False)
        self._differentiate = gradients.outputs_and_gradients(inference)
        conv = next(x for x in network.layers if isinstance(x, keras.layers.Conv2D))
        self._channels_first = conv.data_format == "channels_first"

    def __call__(self, images: np.ndarray, labels: np.ndarray | None = None, top: int = 1) -> Maps:
        """Explain one or more classes of each image.

        Args:
            images: float32 (N, height, width, 3), or channels first, as the network takes them.
            labels: of the classes, int (N, K); left out: the likeliest.
            top: how many of the likeliest; fewer where there are no more.

        Raises:
            ArithmeticError: the network puts out something else than finite numbers.
        """
        features = self._to_features.predict_on_batch(images)
        logits = np.asarray(self._to_logits.predict_on_batch(features), np.float32)
        if not np.isfinite(logits).all():
            raise ArithmeticError("the network puts out numbers that are not finite; train it anew")
        if labels is None:
            labels = np.argsort(-logits, axis=1, kind="stable")[:, :top]
        probabilities = ops.convert_to_numpy(ops.softmax(logits))
        size = images.shape[2:] if self._channels_first else images.shape[1:3]
        heat = [
            _at_pixels(self._heat(features, one_hot), self._stride, size)
            for one_hot in np.eye(logits.shape[1])[labels.T]
        ]
        return Maps(labels, np.take_along_axis(probabilities, labels, 1), np.stack(heat, axis=1))

    def _heat(self, features: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
        """In inference one image's logits do not depend on another, so a batch is one pass."""
        tensors = ops.convert_to_tensor(one_hot, "float32"), ops.convert_to_tensor(features)
        _, (gradient,) = self._differentiate(*tensors)
        slope = ops.convert_to_numpy(ops.cast(gradient, "float32"))
        places, channels = ((2, 3), 1) if self._channels_first else ((1, 2), 3)
        weighted = slope.mean(places, keepdims=True) * features.astype(np.float32)
        heat = np.maximum(weighted.sum(channels), 0)
        peak = heat.max((1, 2), keepdims=True)
        return np.divide(heat, peak, out=heat, where=peak > 0)


def _at_pixels(heat: np.ndarray, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Bring maps to the images' size, each value to the centre of what it has seen.

    That is pixel `stride * index`, because strided layers pad evenly here: up to half a stride to
    the upper left of where resizing would put it. Between the centres it is bilinear.

    Args:
        heat: (N, map height, map width).
        stride: of the features, in pixels.
        size: height and width, in pixels.
    """
    down, across = (
        [np.interp(np.arange(pixels) / stride, np.arange(count), one) for one in np.eye(count)]
        for count, pixels in zip(heat.shape[1:], size, strict=True)
    )
    return np.einsum("nij,iy,jx->nyx", heat, down, across)
