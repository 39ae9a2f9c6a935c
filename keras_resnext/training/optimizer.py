"""Stochastic gradient descent as PyTorch computes it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_resnext")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with weight decay and momentum as in `torch.optim.SGD`.

    For a weight `w` with gradient `g`:

        g = g + coupled_weight_decay * w
        buffer = momentum * buffer + g
        w = w - learning_rate * (g + momentum * buffer)     with Nesterov
        w = w - learning_rate * buffer                      without

    `keras.optimizers.SGD` differs twice. Its `weight_decay` is decoupled: taken off the weight,
    beside the gradient and untouched by momentum, which at momentum 0.9 is about a tenth of the
    pull. And its buffer holds past steps, learning rate included, so that a change of the
    learning rate reaches the momentum only slowly.

    Args:
        learning_rate: number or `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: from 0 to 1.
        nesterov: whether to use Nesterov's form of momentum.
        coupled_weight_decay: 0 or more; every trainable weight decays, as in PyTorch.
        **kwargs: as of `keras.optimizers.SGD`.

    Raises:
        ValueError: `coupled_weight_decay` is negative.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        coupled_weight_decay: float = 0.0,
        **kwargs,
    ):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)
        if not coupled_weight_decay >= 0:
            raise ValueError(
                f"coupled_weight_decay: expected 0 or more, got {coupled_weight_decay!r}"
            )
        self.coupled_weight_decay = coupled_weight_decay

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight. Tensors have the weight's shape; computed in the weight's dtype."""
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if self.coupled_weight_decay:
            gradient = gradient + self.coupled_weight_decay * ops.convert_to_tensor(variable)
        if self.momentum:
            buffer = self.momentums[self._get_variable_index(variable)]
            average = self.momentum * ops.convert_to_tensor(buffer) + gradient
            self.assign(buffer, average)
            gradient = gradient + self.momentum * average if self.nesterov else average
        self.assign_sub(variable, learning_rate * gradient)

    def get_config(self):
        """Give the arguments that make this optimizer again."""
        return {**super().get_config(), "coupled_weight_decay": self.coupled_weight_decay}
