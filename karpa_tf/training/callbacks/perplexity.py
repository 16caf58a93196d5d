"""Perplexity: what a loss in nats means in words."""

import keras

from karpa_tf.metrics import language


class Perplexity(keras.callbacks.Callback):
    """Adds `val_perplexity`, e to the power of `val_loss`, to what is logged after an epoch; stands before the logs."""

    adds = ("val_perplexity",)
    """What it adds to the logs of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_perplexity"] = language.perplexity(logs["val_loss"])
