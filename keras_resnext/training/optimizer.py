"""Stochastic gradient descent as PyTorch computes it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_resnext")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with weight decay and momentum as in `torch.optim.SGD`, and a rate for the backbone.

    For a weight `w` with gradient `g`:

        g = g + coupled_weight_decay * w
        buffer = momentum * buffer + g
        w = w - learning_rate * (g + momentum * buffer)     with Nesterov
        w = w - learning_rate * buffer                      without

    `keras.optimizers.SGD` differs twice. Its `weight_decay` is decoupled: taken off the weight,
    beside the gradient and untouched by momentum, which at momentum 0.9 is about a tenth of the
    pull. And its buffer holds past steps, learning rate included, so that a change of the
    learning rate reaches the momentum only slowly.

    With `use_ema` the averages stay beside the weights: Keras' optimizers overwrite the weights
    with them whenever a `fit` ends, so that a further `fit` goes on from elsewhere.

    Args:
        learning_rate: number or `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: from 0 to 1.
        nesterov: whether to use Nesterov's form of momentum.
        coupled_weight_decay: 0 or more; every trainable weight decays, as in PyTorch.
        backbone_rate: learning rate of all weights outside of `head`, as a part of
            `learning_rate`.
        frozen_steps: steps at the beginning in which only `head` learns. The others' momentum
            gathers nothing and they do not decay, but batch normalisation's moving statistics
            follow the new data.
        head: name of the layer that learns at the full rate from the beginning.
        **kwargs: as of `keras.optimizers.SGD`.

    Raises:
        ValueError: `coupled_weight_decay`, `backbone_rate` or `frozen_steps` is negative.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        coupled_weight_decay: float = 0.0,
        backbone_rate: float = 1.0,
        frozen_steps: int = 0,
        head: str = "predictions",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)
        self.coupled_weight_decay = coupled_weight_decay
        self.backbone_rate = backbone_rate
        self.frozen_steps = frozen_steps
        self.head = head
        for name in ("coupled_weight_decay", "backbone_rate", "frozen_steps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)!r}")

    def build(self, variables):
        """Make the momentum buffers, and note which weights are the head's."""
        if not self.built:
            self._of_head = [self.head in variable.path.split("/") for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight. Tensors have the weight's shape; computed in the weight's dtype."""
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if self.coupled_weight_decay:
            gradient = gradient + self.coupled_weight_decay * ops.convert_to_tensor(variable)
        index = self._get_variable_index(variable)
        if not self._of_head[index]:
            learning_rate = learning_rate * self.backbone_rate
            if self.frozen_steps:
                thawed = ops.cast(self._iterations >= self.frozen_steps, variable.dtype)
                gradient = gradient * thawed
        if self.momentum:
            buffer = self.momentums[index]
            average = self.momentum * ops.convert_to_tensor(buffer) + gradient
            self.assign(buffer, average)
            gradient = gradient + self.momentum * average if self.nesterov else average
        self.assign_sub(variable, learning_rate * gradient)

    def finalize_variable_values(self, var_list):
        """Leave the weights as the last step left them."""

    def get_config(self):
        """Give the arguments that make this optimizer again."""
        names = ("coupled_weight_decay", "backbone_rate", "frozen_steps", "head")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer, once.

    Built twice, Keras' `LossScaleOptimizer` has some of them twice.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
