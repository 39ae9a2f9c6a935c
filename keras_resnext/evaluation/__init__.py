"""How good a trained network is, overall and class by class."""

from keras_resnext.evaluation.report import Report, evaluate

__all__ = ["Report", "evaluate"]
