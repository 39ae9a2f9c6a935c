"""Formats beside the SavedModel, one module each.

Beside `keras_resnext/native/` and `keras_resnext/export/tensorflow/` the third place that names
backends: a format is written under the one backend that it belongs to, whatever backend trained.
"""
