"""Validation perplexity."""

import keras

from karpa_tf.metrics import language


class Perplexity(keras.callbacks.Callback):
    """Adds `val_perplexity`, the exponential of `val_loss`, to the logs of an epoch; must come before `MetricsLog`."""

    adds = ("val_perplexity",)
    """Names that it adds to the logs of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_perplexity"] = language.perplexity(logs["val_loss"])
