"""ResNeXt for Keras 3 (Xie et al., CVPR 2017), fast on TensorFlow, JAX and PyTorch."""

from keras_resnext.forms import transfer_weights
from keras_resnext.layers import BatchNorm, GroupedConv2D
from keras_resnext.models import ResNeXt, ResNeXt29, ResNeXt50, ResNeXt101, ResNeXt152

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
