"""`GroupedConv2D`: `keras.layers.Conv2D`, computed the way that is fastest on each backend."""

import keras
from keras import ops

from keras_resnext.lowering import LOWERINGS, grouped_conv2d, native
from keras_resnext.lowering.geometry import Geometry


@keras.saving.register_keras_serializable(package="keras_resnext")
class GroupedConv2D(keras.layers.Conv2D):
    def __init__(self, *args, lowering: str = "auto", **kwargs):
        super().__init__(*args, **kwargs)
        if lowering not in LOWERINGS:
            raise ValueError(f"lowering={lowering!r} is unknown; use one of {', '.join(LOWERINGS)}.")
        self.lowering = lowering

    def convolution_op(self, inputs, kernel):
        first = self.data_format == "channels_first"
        height, width = inputs.shape[2:] if first else inputs.shape[1:3]
        geometry = Geometry(
            height=height,
            width=width,
            in_channels=inputs.shape[1 if first else -1],
            out_channels=self.filters,
            groups=self.groups,
            kernel_size=self.kernel_size,
            strides=self.strides,
            dilation=self.dilation_rate,
            padding=self.padding,
            data_format=self.data_format,
        )
        return grouped_conv2d(ops.convert_to_tensor(inputs), ops.convert_to_tensor(kernel), geometry, self.lowering)

    def get_config(self):
        config = super().get_config()
        if self.lowering != "auto":
            config["lowering"] = self.lowering
        return config


@keras.saving.register_keras_serializable(package="keras_resnext")
class BatchNorm(keras.layers.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        fused = training and self.trainable and self.scale and self.center and not self.synchronized
        if mask is not None or not fused:
            return super().call(inputs, training=training, mask=mask)
        axis = self.axis % len(inputs.shape)
        outputs, mean, variance = native.normalize(inputs, ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta), axis, self.epsilon)
        m = self.momentum
        self.moving_mean.assign(self.moving_mean * m + mean * (1 - m))
        self.moving_variance.assign(self.moving_variance * m + variance * (1 - m))
        return outputs
