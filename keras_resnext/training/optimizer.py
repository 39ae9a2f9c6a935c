"""Stochastic gradient descent as PyTorch computes it, and its learning rates."""

import keras
from keras import ops
from keras.optimizers import schedules

from keras_resnext.training.settings import Settings


@keras.saving.register_keras_serializable(package="keras_resnext")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with weight decay and momentum as in `torch.optim.SGD`, and two learning rates.

    For a weight `w` with gradient `g`:

        g = g + coupled_weight_decay * w
        buffer = momentum * buffer + g
        w = w - learning_rate * (g + momentum * buffer)     with Nesterov
        w = w - learning_rate * buffer                      without

    In `keras.optimizers.SGD`, weight decay is decoupled (untouched by momentum: about a tenth of
    the effect at momentum 0.9), the buffer holds past steps multiplied by their learning rates, and
    all weights have one rate. With `use_ema`, Keras overwrites the weights with their averages when
    a `fit` ends; here the averages stay beside the weights, so that a further `fit` goes on. And
    its decay is the same from the first step on, so that for some multiples of `1 / (1 -
    ema_momentum)` steps the averages are of a network that knows little; here it is at most `(1 +
    n) / (10 + n)` after n more steps than one, as in TensorFlow's `ExponentialMovingAverage`.

    Args:
        learning_rate: number or `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: from 0 to 1.
        nesterov: whether to use Nesterov momentum.
        coupled_weight_decay: 0 or more; every trainable weight decays, as in PyTorch.
        backbone_rate: learning rate of all weights outside of `head`, relative to `learning_rate`.
        frozen_steps: steps at the beginning in which only `head` learns. The other weights gather
            no momentum and do not decay; moving statistics of batch normalization follow the data.
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
            self._in_head = [self.head in variable.path.split("/") for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight. Tensors have the weight's shape; computed in the weight's dtype."""
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        weight = ops.convert_to_tensor(variable)
        if self.coupled_weight_decay:
            gradient = gradient + self.coupled_weight_decay * weight
        index = self._get_variable_index(variable)
        if not self._in_head[index]:
            learning_rate = learning_rate * self.backbone_rate
            if self.frozen_steps:
                thawed = ops.cast(self._iterations >= self.frozen_steps, variable.dtype)
                gradient = gradient * thawed
        if self.momentum:
            buffer = self.momentums[index]
            average = self.momentum * ops.convert_to_tensor(buffer) + gradient
            self.assign(buffer, average)
            gradient = gradient + self.momentum * average if self.nesterov else average
        # `assign_sub` computes float64 in float32 under PyTorch.
        self.assign(variable, weight - learning_rate * gradient)

    def _update_model_variables_moving_average(self, trainable_variables):
        if not self.use_ema:
            return
        steps = ops.cast(self.iterations, "float32")  # before this one
        decay = ops.minimum(self.ema_momentum, steps / (9 + steps))
        pairs = zip(trainable_variables, self._model_variables_moving_average, strict=True)
        for variable, average in pairs:
            share = ops.cast(1 - decay, variable.dtype)
            average.assign(average + share * (variable - average))

    def finalize_variable_values(self, var_list):
        """Leave the weights as the last step left them."""

    def get_config(self):
        """The arguments that make this optimizer again."""
        names = ("coupled_weight_decay", "backbone_rate", "frozen_steps", "head")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def optimizer(settings: Settings, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with the weight decay and learning rates that the settings name."""
    own = settings.optimizer
    return CoupledSGD(
        learning_rate(settings, steps_per_epoch),
        own.momentum,
        own.nesterov,
        coupled_weight_decay=own.weight_decay,
        backbone_rate=own.backbone_rate,
        frozen_steps=round(settings.schedule.frozen_epochs * steps_per_epoch),
        global_clipnorm=own.clip_norm or None,
        gradient_accumulation_steps=own.accumulate_steps if own.accumulate_steps > 1 else None,
        use_ema=own.ema_decay > 0,
        ema_momentum=own.ema_decay,
    )


def learning_rate(
    settings: Settings, steps_per_epoch: int
) -> schedules.LearningRateSchedule | float:
    """Learning rate of a run, by the number of steps done (0 for the first)."""
    own, peak = settings.schedule, settings.peak_learning_rate
    steps = own.epochs * steps_per_epoch
    warmup = min(round(own.warmup_epochs * steps_per_epoch), steps - 1)  # rounding may leave none
    if own.schedule == "cosine":
        return schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)
    after: schedules.LearningRateSchedule | float = peak
    if own.schedule == "piecewise" and own.milestones:
        # Keras' boundary is the last step of the old value.
        boundaries = [epoch * steps_per_epoch - 1 for epoch in own.milestones]
        values = [peak * own.decay_factor**i for i in range(len(boundaries) + 1)]
        after = schedules.PiecewiseConstantDecay(boundaries, values)
    return WarmUp(after, warmup) if warmup else after


class WarmUp(schedules.LearningRateSchedule):
    """Another schedule, or a number, times a factor that rises linearly from 0 to 1 over `steps`.

    As in github.com/weiaicunzai/pytorch-cifar100 (utils.py), the first step has learning rate 0.
    """

    def __init__(self, after: schedules.LearningRateSchedule | float, steps: int):
        self.after = after
        self.steps = steps

    def __call__(self, step):
        """Learning rate, a float32 scalar, after `step` steps."""
        value = self.after(step) if callable(self.after) else self.after
        return ops.minimum(ops.cast(step, "float32") / self.steps, 1.0) * value
