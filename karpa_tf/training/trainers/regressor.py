"""The step of a model that predicts numbers; exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.training.trainers.classifier import Classifier


class Regressor(Classifier):
    """Trains a model that maps inputs to a number, with `fit`.

    Batches are those of `Classifier`, but for targets: float32 (batch, 1). Every step reports `loss`, the squared error
    in units of the variance of the targets, and `mean_absolute_error`, in those of the targets, as means over the epoch
    so far.

    Args:
        model: functional model, inputs to float32 (batch, 1).
        stddev: standard deviation of the training targets.
        ema: as for `Classifier`.
    """

    def __init__(self, model, stddev, ema=0.0, **kwargs):
        super().__init__(model, ema=ema, **kwargs)
        self.stddev, self.accuracy = stddev, None
        self.absolute_error = keras.metrics.Mean(name="mean_absolute_error")

    @property
    def metrics(self):
        return [self.loss_mean, self.absolute_error]

    def _compute_losses(self, targets, outputs):
        return tf.square((targets - tf.cast(outputs, tf.float32)) / self.stddev)[:, 0]

    def _update_metrics(self, losses, targets, outputs, weights=None):
        self.loss_mean.update_state(losses, sample_weight=weights)
        self.absolute_error.update_state(tf.sqrt(losses) * self.stddev, sample_weight=weights)
