"""`keras.layers.Conv2D` and `BatchNormalization`, computed the way each backend does fastest."""

import keras
from keras import ops

from keras_resnext import backend
from keras_resnext.backend.lowering import LOWERINGS, Geometry, grouped_conv2d


@keras.saving.register_keras_serializable(package="keras_resnext", name="GroupedConv2D")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose groups are fast on every backend, CPUs included.

    Arguments, configuration, weights and outputs are those of `keras.layers.Conv2D(groups=...)`,
    so a `.weights.h5` of one loads in the other; only the way to the outputs differs. Keras
    compiles a grouped convolution with XLA under TensorFlow, as JAX always does, and XLA's
    gradient of it takes seconds per layer on a CPU.

    Args:
        *args: as for `keras.layers.Conv2D`: `filters`, `kernel_size`, `strides`, ...
        lowering: the way to compute it. `"auto"` takes the fastest known for the backend, device
            and shape (`TABLE` in `backend/lowering.py`); `"native"` is the backend's own grouped
            convolution, `"split"` one dense convolution per group, `"dense"` a single one with a
            block-diagonal kernel, `"packed"` something between, and `"matmul"` a matrix product,
            for 1x1 kernels only. Anything but `"auto"` is kept in the configuration.
        **kwargs: as for `keras.layers.Conv2D`: `groups`, `padding`, `use_bias`, ...

    Raises:
        ValueError: if `lowering` is unknown or does not fit the kernel, and wherever
            `keras.layers.Conv2D` raises it.

    Example:
        >>> layer = GroupedConv2D(128, 3, padding="same", groups=32, use_bias=False)
        >>> layer(keras.random.normal((8, 32, 32, 128))).shape
        (8, 32, 32, 128)
    """

    def __init__(self, *args, lowering: str = "auto", **kwargs):
        super().__init__(*args, **kwargs)
        if lowering not in LOWERINGS:
            known = ", ".join(map(repr, LOWERINGS))
            raise ValueError(f"lowering={lowering!r} is unknown; use one of {known}.")
        if lowering == "matmul" and self.kernel_size != (1, 1):
            raise ValueError(
                "lowering='matmul' computes 1x1 convolutions only, and kernel_size is "
                f"{self.kernel_size}; use lowering='auto'."
            )
        self.lowering = lowering

    def convolution_op(self, inputs, kernel):
        """Convolve; the override point that `keras.layers.Conv2D` documents."""
        inputs = ops.convert_to_tensor(inputs)
        geometry = Geometry(
            in_channels=inputs.shape[1 if self.data_format == "channels_first" else -1],
            out_channels=self.filters,
            groups=self.groups,
            kernel_size=self.kernel_size,
            strides=self.strides,
            dilation=self.dilation_rate,
            padding=self.padding,
            data_format=self.data_format,
        )
        return grouped_conv2d(inputs, ops.convert_to_tensor(kernel), geometry, self.lowering)

    def get_config(self):
        """Return the configuration: that of `keras.layers.Conv2D`, and a chosen lowering."""
        config = super().get_config()
        if self.lowering != "auto":
            config["lowering"] = self.lowering
        return config


@keras.saving.register_keras_serializable(package="keras_resnext", name="BatchNorm")
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with the backend's fused kernel and PyTorch's statistics.

    Arguments, configuration and weights are those of `keras.layers.BatchNormalization`; what
    differs is training on 4D inputs:

    - the backend's fused kernel takes about half the time of Keras' elementwise steps on a CPU;
    - the moving variance follows the unbiased variance of the batch, as in PyTorch, in the
      original Torch code and in TensorFlow's fused kernel, where Keras follows the biased one;
    - on several devices, each replica normalizes by the statistics of its own part of the batch,
      and the moving statistics follow the mean of the replicas' (PyTorch's
      DistributedDataParallel keeps those of the first). With `synchronized=True` they are the
      statistics of the whole batch, as on one device. Keras has that argument for TensorFlow only,
      and under JAX always synchronizes.

    With a mask, renormalization, another `axis`, or without `scale` or `center`, it trains as
    Keras' layer does.

    Args:
        *args: as for `keras.layers.BatchNormalization`: `axis`, `momentum`, `epsilon`, ...
        synchronized: whether replicas share the statistics, under every backend.
        **kwargs: as for `keras.layers.BatchNormalization`.
    """

    def __init__(self, *args, synchronized=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.synchronized = synchronized

    def call(self, inputs, training=None, mask=None):
        """Normalize (batch, height, width, channels), or channels first where `axis=1`."""
        plain = self.scale and self.center and not self.renorm and self.axis % 4 in (1, 3)
        learns = training and self.trainable
        normalize = backend.native.batch_normalize if learns else backend.native.normalize
        if not (normalize and plain and mask is None and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        # `keras.backend.result_type` makes float64 float32 under JAX and PyTorch.
        is_double = keras.backend.standardize_dtype(inputs.dtype) == "float64"
        wide = "float64" if is_double else "float32"
        scale, offset = ops.cast(self.gamma, wide), ops.cast(self.beta, wide)
        how = scale, offset, self.axis % 4, self.epsilon
        if not learns:
            mean, variance = ops.cast(self.moving_mean, wide), ops.cast(self.moving_variance, wide)
            return ops.cast(normalize(inputs, mean, variance, *how), self.compute_dtype)
        outputs, mean, variance = normalize(inputs, *how, self.synchronized)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            before = ops.cast(moving, batch.dtype)
            moving.assign(before * self.momentum + batch * (1 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


# A weights file calls a layer by its class: under these names files of Keras' own layers load too.
GroupedConv2D.__name__ = keras.layers.Conv2D.__name__
BatchNorm.__name__ = keras.layers.BatchNormalization.__name__
