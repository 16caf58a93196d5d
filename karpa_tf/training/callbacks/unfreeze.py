"""Gradual unfreezing (Howard and Ruder 2018, section 3.3)."""

import keras
import numpy as np


class Unfreeze(keras.callbacks.Callback):
    """Unfreezes the groups of a `Classifier` at the start of the epoch in which they are to be trained.

    Args:
        steps_per_epoch: number of steps in one epoch.
    """

    def __init__(self, steps_per_epoch):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_begin(self, epoch, logs=None):
        before = len(self.model.active_groups)
        step = epoch * self.steps_per_epoch
        if any(group.first_step <= step for group in self.model.groups if group not in self.model.active_groups):
            self.model.unfreeze_groups(step)
        if len(self.model.active_groups) != before:
            count = sum(int(np.prod(variable.shape)) for variable in self.model.active_variables)
            print(f"From epoch {epoch + 1} on {count:,} weights are trained.")
