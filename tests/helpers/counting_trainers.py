"""Trainers that count what is in their batches."""

import keras
import tensorflow as tf

from karpa_tf import keras_compat


class Counter(keras.Model):
    """A trainer that has all it needs, and counts what is true in its batches."""

    def __init__(self):
        super().__init__()
        self.found = keras.metrics.Sum(name="found")
        self.built = True

    @property
    def metrics(self):
        return [self.found]

    def train_step(self, data):
        self.found.update_state(tf.cast(data, tf.float32))
        return {"found": self.found.result()}


class Repaired(keras_compat.AlreadyBuilt, Counter):
    pass


class Letters(Counter):
    """Counts the letters of texts that come in a dict."""

    def train_step(self, data):
        return super().train_step(tf.strings.length(data["text"]))


class RepairedLetters(keras_compat.AlreadyBuilt, Letters):
    pass
