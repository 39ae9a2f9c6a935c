"""ResNeXt for Keras 3 (Xie et al., CVPR 2017), fast on TensorFlow, JAX and PyTorch."""

from keras_resnext.backend import check_backend

check_backend()  # before Keras is imported, and fails in many lines where one would do

from keras_resnext.forms import transfer_weights  # noqa: E402
from keras_resnext.layers import BatchNorm, GroupedConv2D  # noqa: E402
from keras_resnext.models import (  # noqa: E402
    ResNeXt,
    ResNeXt29,
    ResNeXt50,
    ResNeXt101,
    ResNeXt152,
)

__all__ = [
    "BatchNorm",
    "GroupedConv2D",
    "ResNeXt",
    "ResNeXt29",
    "ResNeXt50",
    "ResNeXt101",
    "ResNeXt152",
    "transfer_weights",
]
