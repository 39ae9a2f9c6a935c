"""State of the running loss and accuracy, saved and restored within an epoch."""

import keras
import numpy as np


def metrics_state(model: keras.Model) -> list[float]:
    """Values of the compiled metrics' variables (totals and counts)."""
    return [float(variable.numpy()) for variable in model.metrics_variables]


def restore_metrics(model: keras.Model, state: list[float]) -> None:
    """Put back what `metrics_state` gave.

    Args:
        model: compiled, not necessarily trained yet.
        state: from a model compiled in the same way.
    """
    # Keras makes the variables of compiled metrics when it first computes them.
    outputs = np.zeros((1, *model.output_shape[1:]), "float32")
    one_hot = isinstance(model.loss, keras.losses.CategoricalCrossentropy)
    labels = outputs if one_hot else np.zeros((1,), "int32")
    model.compute_metrics(x=None, y=labels, y_pred=outputs)
    for variable, value in zip(model.metrics_variables, state, strict=True):
        variable.assign(value)
