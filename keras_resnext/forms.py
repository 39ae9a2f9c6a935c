"""Moved to `keras_resnext.features`."""

from keras_resnext.features import assign, join_branches, transfer_weights

__all__ = ["assign", "join_branches", "transfer_weights"]
