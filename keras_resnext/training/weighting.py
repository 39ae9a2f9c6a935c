"""Classes of few images, weighed more in the loss that a network learns by."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_resnext.data import Dataset


def balanced_weights(dataset: Dataset) -> np.ndarray:
    """Weigh each class by images / (classes * images of the class), as scikit-learn's "balanced".

    Over the training images the mean weight is 1, so that learning rates keep their meaning.

    Args:
        dataset: gives the training images' labels.

    Returns:
        float32 (classes,).

    Raises:
        ValueError: a class has no training image.
    """
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    missing = [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
    if missing:
        raise ValueError(
            f"class_weights: expected training images of each class, got none of "
            f"{', '.join(map(repr, missing))}; add some, or set class_weights none"
        )
    return (len(dataset.train) / (len(counts) * counts)).astype(np.float32)


class ClassWeightedCrossentropy(keras.losses.Loss):
    """Cross-entropy in which each class has a weight.

    For softmax probabilities `p` and a label `t`, smoothed probabilities of the classes:

        loss = -sum(weights * t * log(p)), and its mean over the samples of the batch

    which is `torch.nn.CrossEntropyLoss(weight=..., label_smoothing=...)` of labels that are
    probabilities: the weights of mixed labels mix too. For labels that are numbers PyTorch divides
    by the sum of their weights in the batch instead of its samples, so that its loss of a batch is
    not the mean of that of its parts, as several devices and accumulated steps need.

    Keras' `fit(class_weight=...)` takes the weight of the most probable class alone, which is wrong
    where labels are mixed or smoothed, and weighs the accuracy too. Its
    `CategoricalFocalCrossentropy(alpha=weights, gamma=0)` is this function of probabilities clipped
    at 1e-7, below which it has no gradient.

    Args:
        weights: of the classes.
        label_smoothing: part of a label's probability that is spread evenly over all classes.
    """

    def __init__(self, weights: Sequence[float] | np.ndarray, label_smoothing: float = 0.0):
        super().__init__()
        self.weights = weights
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Give the loss of each sample, (B,), of labels and logits, (B, classes)."""
        spread = self.label_smoothing / y_pred.shape[-1]
        labels = ops.cast(y_true, y_pred.dtype) * (1 - self.label_smoothing) + spread
        weights = ops.convert_to_tensor(self.weights, y_pred.dtype)
        return -ops.sum(weights * labels * ops.log_softmax(y_pred), axis=-1)


class LearnsByOtherLoss(keras.Model):
    """A network that learns by one loss and is validated by the compiled one.

    `compile` takes one loss for both; `compute_loss` is the override point that Keras documents.

    Attributes:
        training_loss: to learn by.
    """

    training_loss: keras.losses.Loss

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Compute the loss of a batch."""
        if training:
            return self.training_loss(y, y_pred, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def class_weighted(
    model: keras.Model, dataset: Dataset, label_smoothing: float
) -> LearnsByOtherLoss:
    """The same layers as a network that learns by a loss with `balanced_weights`.

    Args:
        model: puts out logits; not compiled yet.
        dataset: to train on.
        label_smoothing: as of `ClassWeightedCrossentropy`.

    Raises:
        ValueError: as `balanced_weights`.
    """
    result = LearnsByOtherLoss(model.input, model.output, name=model.name)
    result.training_loss = ClassWeightedCrossentropy(balanced_weights(dataset), label_smoothing)
    return result
