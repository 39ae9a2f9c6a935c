"""Grad-CAM (Selvaraju et al., ICCV 2017): which pixels drive the prediction of a class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_resnext import backend
from keras_resnext.features import feature_info
from keras_resnext.files import check_positive
from keras_resnext.inference.classifier import Source, check_finite, model_classifier
from keras_resnext.inference.exported import probabilities
from keras_resnext.inference.network import logits_network
from keras_resnext.inference.predict import Batch, Prediction, guesses, read_batches
from keras_resnext.preprocessing import Preprocessing


@dataclass(frozen=True)
class Maps:
    """Heat maps of N images for K classes each.

    Attributes:
        labels: int (N, K).
        probabilities: float32 (N, K), of these classes among all.
        heat: float (N, K, height, width), of the images' size, from 0 to 1, the largest of each
            map; all 0 where no feature raises the class's logit.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    heat: np.ndarray


class GradCAM:
    """Weigh each channel of a stage by its mean gradient, sum them, and keep what is positive.

    The gradient is that of the class's logit, as in the paper, also where the model ends in a
    softmax: a probability also rises where other classes lose, and hardly at all where the network
    is already sure. At the last stage of a ResNeXt this is CAM (Zhou et al., CVPR 2016), because
    means and a dense layer are all that follows. Earlier stages have finer maps and know less about
    classes.

    Args:
        source: a Keras model built on a ResNeXt of ours (own head, nested, softmax or logits), or a
            checkpoint. Of a model, the weights are those it has now.
        stage: as `keras_resnext.feature_info` counts, 0 for the stem; default: the last.
        class_names: as of `open_classifier`.
        preprocessing: of the images; a model's default: none, it gets images as they are.

    Attributes:
        class_names: by label.
        preprocessing: as given, or the checkpoint's; else it resizes files alone, or is None where
            the model takes images of any size.

    Raises:
        ValueError: there is no ResNeXt of ours in it, no such stage, or its head takes features of
            earlier ones, too.

    Example:
        >>> maps = GradCAM(model)(images)
        >>> maps.heat[0, 0]  # of the first image, for its most likely class
    """

    def __init__(
        self,
        source: Source,
        stage: int | None = None,
        class_names: tuple[str, ...] | None = None,
        preprocessing: Preprocessing | None = None,
    ):
        classifier = model_classifier(source, class_names, preprocessing, arrays=True)
        self.class_names = classifier.class_names
        self._prepare = classifier.prepare
        self._activation = classifier.activation
        network = logits_network(classifier.model)
        known = preprocessing or classifier.checkpoint or None not in network.input_shape[1:]
        self.preprocessing = classifier.preprocessing if known else None
        info = feature_info(network)
        stage = len(info) - 1 if stage is None else stage
        if not 0 <= stage < len(info):
            raise ValueError(f"stage: expected 0 (the stem) to {len(info) - 1}, got {stage}")
        features = network.get_layer(info[stage].name).output
        self._to_features = keras.Model(network.input, features)
        try:
            self._to_logits = keras.Model(features, network.output)
        except ValueError as error:
            raise ValueError(
                f"stage: the head of {classifier.model.name!r} takes features of earlier stages, "
                f"too; expected one below {stage}"
            ) from error
        self._differentiate = backend.native.outputs_and_gradients(
            partial(self._to_logits, training=False)
        )
        conv = next(x for x in network.layers if x.name.startswith("stem_conv"))
        self._places = (2, 3) if conv.data_format == "channels_first" else (1, 2)
        # Where a layer such as Resizing stands before the stem, a feature covers other pixels.
        self._stem_size = tuple(conv.input.shape[axis] for axis in self._places)
        self._stride = info[stage].stride

    def __call__(self, images: np.ndarray, labels: np.ndarray | None = None, top: int = 1) -> Maps:
        """Return the heat maps of one or more classes of each image.

        Args:
            images: (N, height, width, 3): pixels from 0 to 255, or what the model takes if it has
                no preprocessing.
            labels: of the classes, int (N, K); default: the most likely ones.
            top: how many of the most likely, at most.

        Raises:
            ValueError: `labels` are no such numbers, or `top` is below 1.
            ArithmeticError: the network puts out numbers that are not finite.
        """
        check_positive(top=top)
        classes = len(self.class_names)
        if labels is not None:
            labels = np.asarray(labels)
            if np.shape(labels)[:-1] != (len(images),) or not np.isin(labels, range(classes)).all():
                raise ValueError(
                    f"labels: expected ({len(images)}, K) numbers below {classes}, K per image, "
                    f"got {labels.tolist()} of the shape {labels.shape}"
                )
        features = self._to_features.predict_on_batch(self._prepare(images))
        logits = np.asarray(self._to_logits.predict_on_batch(features), np.float32)
        check_finite(logits)
        if labels is None:
            labels = np.argsort(-logits, axis=1, kind="stable")[:, :top]
        scores = probabilities(logits, self._activation)
        heat = [self._heat(features, one_hot) for one_hot in np.eye(logits.shape[1])[labels.T]]
        maps = np.stack([self._at_pixels(each, images.shape[1:3]) for each in heat], axis=1)
        return Maps(labels, np.take_along_axis(scores, labels, 1), maps)

    def _heat(self, features: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
        """In inference one image's logits do not depend on another, so a batch is one pass."""
        tensors = ops.convert_to_tensor(one_hot, "float32"), ops.convert_to_tensor(features)
        _, (gradient,) = self._differentiate(*tensors)
        slope = ops.convert_to_numpy(ops.cast(gradient, "float32"))
        weighted = slope.mean(self._places, keepdims=True) * features.astype(np.float32)
        heat = np.maximum(weighted.sum(1 if self._places == (2, 3) else 3), 0)
        peak = heat.max((1, 2), keepdims=True)
        return np.divide(heat, peak, out=heat, where=peak > 0)

    def _at_pixels(self, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Bring maps to the images' size, each value to the center of what it has seen.

        That is pixel `stride * index` of the stem's input, because strided layers pad evenly here:
        up to half a stride to the upper left of where resizing would put it. Between the centers it
        is bilinear.
        """
        down, across = (
            [
                np.interp(
                    np.arange(pixels) * (stem or pixels) / pixels / self._stride, range(n), one
                )
                for one in np.eye(n)
            ]
            for n, pixels, stem in zip(heat.shape[1:], size, self._stem_size, strict=True)
        )
        return np.einsum("nij,iy,jx->nyx", heat, down, across)


def explain(
    grad_cam: GradCAM,
    paths: Sequence[Path],
    classes: Sequence[str] = (),
    top: int = 1,
    batch_size: int = 32,
) -> Iterator[Batch]:
    """Yield which pixels drive the prediction of image files, a batch at a time.

    Args:
        grad_cam: of the network.
        paths: image files, as `keras_resnext.data.find_images` lists them.
        classes: names to explain; default: the most likely ones of each image.
        top: how many of the most likely, at most.
        batch_size: files at a time.

    Raises:
        ValueError: a class is unknown (near names are listed), or `grad_cam` knows no image size.
    """
    if grad_cam.preprocessing is None:
        raise ValueError(
            "preprocessing: the model takes images of any size; give GradCAM a Preprocessing with "
            "the image_size to use"
        )
    names = grad_cam.class_names
    for name in classes:
        if name not in names:
            near = ", ".join(get_close_matches(name, names) or names[:3])
            raise ValueError(
                f"classes: expected some of the network's {len(names)}, such as {near}, got {name}"
            )
    labels = [names.index(name) for name in dict.fromkeys(classes)]
    for readable, images, unreadable in read_batches(paths, grad_cam.preprocessing, batch_size):
        predictions = []
        if readable:
            chosen = np.tile(labels, (len(readable), 1)) if labels else None
            maps = grad_cam(images, chosen, top)
            each = zip(readable, images, maps.labels, maps.probabilities, maps.heat, strict=True)
            predictions = [
                Prediction(path, guesses(names, row, scores), image, heat)
                for path, image, row, scores, heat in each
            ]
        yield Batch(predictions, unreadable)
