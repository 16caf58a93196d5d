"""How far generated images are from real ones during training."""

import keras
import tensorflow as tf

from karpa_tf.distribution import collectives
from karpa_tf.models.sampling import to_pixels

NAME = "frechet_distance"
BATCH_SIZE = 64


class ImageDistance(keras.callbacks.Callback):
    """Adds the distance of images from fixed noise to the logs of every few epochs; the best weights are kept by it.

    Args:
        run: a `Run`; the chief alone measures.
        inputs: list of arrays of n rows, what the exported generator takes: noise, and labels if it is conditional.
        measure: function of generated images, uint8 (n, height, width, channels), that returns a float.
        every: epochs from one distance to the next.
    """

    adds, monitor = (NAME,), NAME

    def __init__(self, run, inputs, measure, every):
        super().__init__()
        self.run, self.inputs, self.measure, self.every = run, inputs, measure, every

    def on_train_begin(self, logs=None):
        self.draw = tf.function(lambda inputs: to_pixels(self.model.exported(inputs, training=False)))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            logs[NAME] = collectives.broadcast_object(self._measure() if self.run.writes else None)

    def _measure(self):
        batches = tf.data.Dataset.from_tensor_slices(tuple(self.inputs)).batch(BATCH_SIZE)
        images = [self.draw(list(batch) if len(batch) > 1 else batch[0]) for batch in batches]
        return float(self.measure(tf.concat(images, axis=0).numpy()))
