"""Samples of a generator during training."""

import keras
import numpy as np
import tensorflow as tf

from karpa_tf import plots
from karpa_tf.models.sampling import to_pixels
from karpa_tf.system.console import warn


class SampleGrids(keras.callbacks.Callback):
    """Writes a grid of samples from fixed noise at the end of every epoch, and warns, once, if they are all alike.

    Args:
        run: a `Run`; grids go to its `samples` folder and to TensorBoard.
        inputs: list of arrays of n rows, what the exported generator takes: noise, and labels if it is conditional.
        real_diversity: `diversity` of the data; less than a twentieth of it counts as mode collapse.
        columns: images per row; None for a square.
        warn_after: number of steps without warnings: an untrained generator draws the same gray for any noise.
    """

    def __init__(self, run, inputs, real_diversity, columns=None, warn_after=500):
        super().__init__()
        self.run, self.columns, self.labels = run, columns, inputs[1] if len(inputs) > 1 else None
        self.inputs = [tf.constant(values) for values in inputs] if len(inputs) > 1 else tf.constant(inputs[0])
        self.real_diversity, self.warn_after = real_diversity, warn_after
        self.warned = False

    def on_train_begin(self, logs=None):
        self.sample = tf.function(lambda inputs: to_pixels(self.model.exported(inputs, training=False)))
        self.writer = tf.summary.create_file_writer(str(self.run.tensorboard))

    def on_epoch_end(self, epoch, logs=None):
        images = self.sample(self.inputs).numpy()
        plots.save_grid(self.run.samples / f"epoch-{epoch + 1:05d}.png", images, self.columns)
        step = (epoch + 1) * self.params["steps"]
        with self.writer.as_default():
            tf.summary.image("samples", plots.make_grid(images, self.columns)[None], step=step)
        self.writer.flush()
        diversity_now = diversity(images, self.labels)
        if not self.warned and step >= self.warn_after and diversity_now < self.real_diversity / 20:
            self.warned = True
            classes = "" if self.labels is None else " for each class"
            warn(
                f"The samples have collapsed to nearly one image{classes} after {step} steps; "
                "another --seed, a lower --learning-rate or a higher --discriminator-learning-rate may help."
            )

    def on_train_end(self, logs=None):
        self.writer.close()


def diversity(images, labels=None):
    """Returns the mean over pixels of the standard deviation over images, in gray levels.

    Args:
        images: uint8 (n, height, width, channels).
        labels: int (n,), to compare each image with those of the same label only, or None.
    """
    if labels is not None:
        groups = [images[labels == label] for label in np.unique(labels)]
        return float(np.mean([diversity(group) for group in groups if len(group) > 1] or [0.0]))
    return float(images.astype(np.float32).std(axis=0).mean())
