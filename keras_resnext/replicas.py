"""Moved to `keras_resnext.backend`."""

from keras_resnext.backend import Replicas

__all__ = ["Replicas"]
