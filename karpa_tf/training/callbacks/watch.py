"""Warnings and errors about a training that goes wrong."""

import math

import keras
import numpy as np

from karpa_tf.errors import diverged
from karpa_tf.system.console import warn
from karpa_tf.training.callbacks.window_means import WindowMeans


class DiscriminatorWatch(keras.callbacks.Callback):
    """Warns, once each, if the discriminator separates all real images from all fakes, or none of them.

    Args:
        window: number of steps over which mean D(x) must be above 0.95 and mean D(G(z)) below 0.05, or both between
            these and equal to `SAME`: networks that learn are never as equal as one that gives a constant.
    """

    SAME = 1e-4

    def __init__(self, window=200):
        super().__init__()
        self.window, self.steps, self.sums, self.warned = window, 0, np.zeros(2), set()
        self.means = WindowMeans()

    def on_epoch_begin(self, epoch, logs=None):
        self.means.start_epoch()

    def on_train_batch_end(self, batch, logs=None):
        step = self.means.close(batch + 1, {name: logs[name] for name in ("D(x)", "D(G(z))")})
        self.sums += step["D(x)"], step["D(G(z))"]
        self.steps += 1
        if self.steps < self.window:
            return
        real, fake = self.sums / self.steps
        self.steps, self.sums = 0, np.zeros(2)
        values = f"for {self.window} steps (D(x) {real:.3f}, D(G(z)) {fake:.3f})"
        if real > 0.95 and fake < 0.05:
            self._warn_once(
                "won",
                f"The discriminator has won {values}: the generator gets almost no gradient. Try a lower "
                "--discriminator-learning-rate.",
            )
        elif 0.05 < real < 0.95 and abs(real - fake) < self.SAME:
            self._warn_once(
                "same",
                f"The discriminator has given all images the same answer {values}: nothing is learned any more. Try a "
                "lower --discriminator-learning-rate or --penalty-weight.",
            )

    def _warn_once(self, kind, message):
        if kind not in self.warned:
            self.warned.add(kind)
            warn(message)


class StopIfNotFinite(keras.callbacks.Callback):
    """Raises `UserError` at the first step whose loss is not a finite number.

    Args:
        latest_checkpoint: function without arguments that returns the newest checkpoint or None, for the message.
        first_step: steps done before this start.
    """

    def __init__(self, latest_checkpoint, first_step=0):
        super().__init__()
        self.latest_checkpoint, self.step = latest_checkpoint, first_step

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        broken = [f"{name} is {value}" for name, value in logs.items() if not math.isfinite(value)]
        if broken:
            raise diverged(f"At step {self.step} {broken[0]}", self.latest_checkpoint())
