"""The folded network as a TensorFlow function that every TensorFlow Serving runs."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnext.export.cloning import rebuild


class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` by TensorFlow's plain operations.

    Keras lets XLA compile a grouped convolution, and TensorFlow Serving switches XLA off. Keras
    adds the bias by `BiasAdd`, which Grappler fuses with the convolution even where oneDNN is off,
    into a kernel that refuses groups. `AddV2` it fuses for oneDNN alone; but where a shortcut is
    added next, it joins the two additions instead.
    """

    def call(self, inputs):
        """Convolve (batch, height, width, channels)."""
        kernel = tf.convert_to_tensor(self.kernel)
        out = tf.nn.convolution(
            inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
        )
        if self.use_bias:
            bias = tf.convert_to_tensor(self.bias)
            out = tf.add(out, bias) if self.groups > 1 else tf.nn.bias_add(out, bias)
        return self.activation(out)


def frozen(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Turn a network into a function, its weights into constants.

    `keras.export.ExportArchive` would keep variables, to be restored at each start of a server and
    out of Grappler's reach.

    Args:
        model: of the functional API, channels last.
    """

    def change(layer, config):
        config.pop("lowering", None)
        return Convolution if isinstance(layer, keras.layers.Conv2D) else None

    plain = rebuild(model, change)
    plain.set_weights(model.get_weights())
    trainable = [variable.numpy() for variable in plain.trainable_variables]
    others = [variable.numpy() for variable in plain.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec(plain.input_shape, tf.float32)])
    def network(images):
        outputs, _ = plain.stateless_call(trainable, others, images, training=False)
        return outputs

    return network
