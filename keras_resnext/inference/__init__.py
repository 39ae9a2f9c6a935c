"""Predictions, explanations and accuracy of trained networks.

Every public function takes a checkpoint, its name, or any Keras model built on ours.
"""

from keras_resnext.inference.classifier import open_classifier
from keras_resnext.inference.evaluate import evaluate, report_as_json, report_as_text
from keras_resnext.inference.grad_cam import GradCAM, explain
from keras_resnext.inference.pictures import (
    draw_confusion,
    draw_explanation,
    draw_predictions,
    explanation_files,
)
from keras_resnext.inference.predict import (
    Guess,
    Prediction,
    predict,
    predict_files,
    predictions_as_json,
    predictions_as_text,
)

__all__ = [
    "GradCAM",
    "Guess",
    "Prediction",
    "draw_confusion",
    "draw_explanation",
    "draw_predictions",
    "evaluate",
    "explain",
    "explanation_files",
    "open_classifier",
    "predict",
    "predict_files",
    "predictions_as_json",
    "predictions_as_text",
    "report_as_json",
    "report_as_text",
]
