"""Cross-entropy for one-hot labels, smoothed and weighted by class."""

import keras
import numpy as np
from keras import ops

from keras_resnext.data import Dataset
from keras_resnext.training.settings import Settings


def one_hot(settings: Settings) -> bool:
    """Whether labels are probabilities of all classes instead of one class's number."""
    own, mixes = settings.loss, settings.augmentation.mixes
    return mixes or own.label_smoothing > 0 or own.class_weights == "balanced"


def loss(settings: Settings, dataset: Dataset) -> keras.losses.Loss:
    """The loss of logits that the settings name.

    Raises:
        ValueError: a class that is to be weighted has no training image.
    """
    if not one_hot(settings):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if settings.loss.class_weights == "balanced":
        return ClassWeightedCrossentropy(balanced_weights(dataset), settings.loss.label_smoothing)
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=settings.loss.label_smoothing
    )


def balanced_weights(dataset: Dataset) -> np.ndarray:
    """Weights images / (classes * images of the class), as scikit-learn's "balanced".

    float32 (classes,); the mean over the training images is 1.

    Raises:
        ValueError: a class has no training image.
    """
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    missing = [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
    if missing:
        raise ValueError(
            "--class-weights: 'balanced' needs training images of every class, got none of "
            f"{', '.join(map(repr, missing))}; add some, or use --class-weights none"
        )
    return (len(dataset.train) / (len(counts) * counts)).astype(np.float32)


class ClassWeightedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits, in which each class has a weight.

    For softmax probabilities `p` and labels `t`, probabilities of the classes after smoothing:

        loss = -sum(weights * t * log(p)), averaged over the samples of the batch

    which is `torch.nn.CrossEntropyLoss(weight=..., label_smoothing=...)` of labels that are
    probabilities. Keras' `fit(class_weight=...)` takes the weight of the most probable class alone,
    which is wrong where labels are mixed or smoothed, and weights the accuracy too.

    Args:
        weights: float (classes,).
        label_smoothing: part of a label's probability that is spread evenly over all classes.
    """

    def __init__(self, weights: np.ndarray, label_smoothing: float = 0.0):
        super().__init__()
        self.weights = weights
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """The loss of each sample, (B,), of labels and logits, (B, classes)."""
        spread = self.label_smoothing / y_pred.shape[-1]
        labels = ops.cast(y_true, y_pred.dtype) * (1 - self.label_smoothing) + spread
        weights = ops.convert_to_tensor(self.weights, y_pred.dtype)
        return -ops.sum(weights * labels * ops.log_softmax(y_pred), axis=-1)
