"""Stochastic gradient descent as PyTorch computes it."""

import re
from collections.abc import Sequence

import keras
from keras import ops

STAGE = re.compile(r"stage(\d+)_")  # as `blocks` names layers


@keras.saving.register_keras_serializable(package="keras_resnext")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with weight decay and momentum as in `torch.optim.SGD`, and rates by stage.

    For a weight `w` with gradient `g`:

        g = g + coupled_weight_decay * w
        buffer = momentum * buffer + g
        w = w - learning_rate * (g + momentum * buffer)     with Nesterov
        w = w - learning_rate * buffer                      without

    `keras.optimizers.SGD` differs. Its `weight_decay` is decoupled: taken off the weight,
    beside the gradient and untouched by momentum, which at momentum 0.9 is about a tenth of the
    pull. And its buffer holds past steps, learning rate included, so that a change of the
    learning rate reaches the momentum only slowly. And it has one rate for all weights, where
    PyTorch has parameter groups.

    With `use_ema` the averages stay beside the weights: Keras' optimizers overwrite the weights
    with them whenever a `fit` ends, so that a further `fit` goes on from elsewhere.

    Args:
        learning_rate: number or `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: from 0 to 1.
        nesterov: whether to use Nesterov's form of momentum.
        coupled_weight_decay: 0 or more; every trainable weight decays, as in PyTorch.
        backbone_rate: learning rate of all weights outside of `head`, as a part of
            `learning_rate`.
        layer_decay: what a stage's rate is multiplied by for each stage from it to `head`, itself
            counted: once for the last stage, most often for the stem. timm's `layer_decay` counts
            blocks instead, its coarse groups are these.
        frozen_steps: steps at the beginning in which only `head` learns. The others' momentum
            gathers nothing and they do not decay, but batch normalisation's moving statistics
            follow the new data.
        head: name of the layer that learns at the full rate from the beginning.
        **kwargs: as of `keras.optimizers.SGD`.

    Raises:
        ValueError: `coupled_weight_decay`, `backbone_rate`, `layer_decay` or `frozen_steps` is
            negative.
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        coupled_weight_decay: float = 0.0,
        backbone_rate: float = 1.0,
        layer_decay: float = 1.0,
        frozen_steps: int = 0,
        head: str = "predictions",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)
        self.coupled_weight_decay = coupled_weight_decay
        self.backbone_rate = backbone_rate
        self.layer_decay = layer_decay
        self.frozen_steps = frozen_steps
        self.head = head
        for name in ("coupled_weight_decay", "backbone_rate", "layer_decay", "frozen_steps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)!r}")

    def build(self, variables):
        """Make the momentum buffers, and note how far from the head each weight is."""
        if not self.built:
            self._distances = _stages_to_head([v.path for v in variables], self.head)
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight. Tensors have the weight's shape; computed in the weight's dtype."""
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        if self.coupled_weight_decay:
            gradient = gradient + self.coupled_weight_decay * ops.convert_to_tensor(variable)
        index = self._get_variable_index(variable)
        if distance := self._distances[index]:
            learning_rate = learning_rate * self.backbone_rate * self.layer_decay**distance
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
        names = ("coupled_weight_decay", "backbone_rate", "layer_decay", "frozen_steps", "head")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _stages_to_head(paths: Sequence[str], head: str) -> list[int]:
    """Count from each weight to the head: 0 for its own, 1 in the last stage, most in the stem."""
    stages = [int(found[1]) if (found := STAGE.match(path)) else 0 for path in paths]
    after = max(stages, default=0) + 1
    return [
        0 if head in path.split("/") else after - stage
        for path, stage in zip(paths, stages, strict=True)
    ]


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer, once.

    Built twice, Keras' `LossScaleOptimizer` has some of them twice.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
