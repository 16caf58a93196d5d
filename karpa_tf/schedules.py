"""Learning rates over the steps of a run; what Keras has is taken from Keras."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("karpa_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A warm-up on a line, then another schedule.

    At step t, counted from 0, and W warm-up steps, the learning rate is `peak` (s + (1 - s) (t + 1) / W) for t < W,
    and that of `after` at t - W from then on.

    Args:
        after: a Keras schedule whose first value is `peak`.
        peak: the largest learning rate.
        warmup_steps: W.
        start_share: s, in [0, 1].
        first_step: added to every step; for weights that join a run that has begun.
    """

    def __init__(self, after, peak, warmup_steps=0, start_share=0.0, first_step=0):
        super().__init__()
        self.after, self.peak, self.warmup_steps = after, peak, warmup_steps
        self.start_share, self.first_step = start_share, first_step

    def __call__(self, step):
        step = ops.cast(step, "float32") + self.first_step
        after = self.after(ops.maximum(step - self.warmup_steps, 0.0))
        if not self.warmup_steps:
            return after
        share = self.start_share + (1 - self.start_share) * (step + 1) / self.warmup_steps
        return ops.where(step < self.warmup_steps, self.peak * share, after)

    def get_config(self):
        return {
            "after": keras.optimizers.schedules.serialize(self.after),
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "start_share": self.start_share,
            "first_step": self.first_step,
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config.pop("after")), **config)


def make_schedule(config, peak, steps, steps_per_epoch, first_step=0):
    """Returns the `Schedule` of an `OptimizerConfig`.

    Args:
        config: an `OptimizerConfig`.
        peak: the largest learning rate.
        steps: of the whole run.
        steps_per_epoch: converts the config's epochs.
        first_step: as for `Schedule`.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch + config.warmup_share * steps)
    after = SCHEDULES[config.schedule](config, peak, max(steps - warmup, 1), steps_per_epoch, warmup)
    return Schedule(after, peak, warmup, config.start_share, first_step)


def _constant(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=peak)


def _step(config, peak, steps, steps_per_epoch, warmup):
    # Keras keeps a value up to and including its boundary.
    boundaries = [round(epoch * steps_per_epoch) - warmup - 1 for epoch in config.step_epochs]
    values = [peak * config.step_factor**fall for fall in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay([float(boundary) for boundary in boundaries], values)


def _cosine(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=config.end_share)


def _one_cycle(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=config.end_share * peak)


SCHEDULES = {"constant": _constant, "step": _step, "cosine": _cosine, "one_cycle": _one_cycle}
