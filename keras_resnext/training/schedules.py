"""Learning rates by step."""

import keras
from keras import ops
from keras.optimizers import schedules

from keras_resnext.training.settings import Settings


def learning_rate(
    settings: Settings, steps_per_epoch: int
) -> schedules.LearningRateSchedule | float:
    """Learning rate of a run, by the number of steps done (0 for the first).

    Args:
        settings: `schedule`, `peak_learning_rate`, `milestones`, `decay_factor`, `warmup_epochs`,
            `epochs`.
        steps_per_epoch: steps an epoch has.
    """
    peak = settings.peak_learning_rate
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if settings.schedule == "cosine":
        rest = settings.epochs * steps_per_epoch - warmup
        if not warmup:
            return schedules.CosineDecay(peak, rest)
        return schedules.CosineDecay(0.0, rest, warmup_target=peak, warmup_steps=warmup)
    if settings.schedule == "piecewise" and settings.milestones:
        # Keras' boundary is the last step of the old value.
        boundaries = [epoch * steps_per_epoch - 1 for epoch in settings.milestones]
        values = [peak * settings.decay_factor**i for i in range(len(boundaries) + 1)]
        after: schedules.LearningRateSchedule | float = schedules.PiecewiseConstantDecay(
            boundaries, values
        )
    else:
        after = peak
    return WarmUp(after, warmup) if warmup else after


@keras.saving.register_keras_serializable(package="keras_resnext")
class WarmUp(schedules.LearningRateSchedule):
    """Another schedule, whose value is first scaled from 0 to 1, linearly over `steps` steps.

    Keras has a warm-up within `CosineDecay` only. As in the 14.8M-parameter implementation
    (github.com/weiaicunzai/pytorch-cifar100, utils.py), the very first step has learning rate 0.

    Args:
        after: schedule, or number for a constant.
        steps: length of the warm-up, 1 or more.
    """

    def __init__(self, after: schedules.LearningRateSchedule | float, steps: int):
        self.after = after
        self.steps = steps

    def __call__(self, step):
        """Learning rate, a float32 scalar, after `step` steps."""
        value = self.after(step) if callable(self.after) else self.after
        return ops.minimum(ops.cast(step, "float32") / self.steps, 1.0) * value

    def get_config(self):
        """Give the arguments that make this schedule again."""
        return {"after": keras.saving.serialize_keras_object(self.after), "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        """Make a schedule from what `get_config` gave."""
        return cls(keras.saving.deserialize_keras_object(config["after"]), config["steps"])
