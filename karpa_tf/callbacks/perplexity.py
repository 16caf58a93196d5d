"""Perplexity: what a loss in nats means in words."""

import math

import keras

LARGEST_LOSS = 700.0
"""Above it e to the loss is no finite float64."""


class Perplexity(keras.callbacks.Callback):
    """Adds `val_perplexity`, e to the power of `val_loss`, to what is logged after an epoch; stands before the logs."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_perplexity"] = math.exp(min(logs["val_loss"], LARGEST_LOSS))
