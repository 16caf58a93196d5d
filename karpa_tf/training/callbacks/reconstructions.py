"""What a masked autoencoder draws during training."""

import keras
import numpy as np
import tensorflow as tf

from karpa_tf import plots
from karpa_tf.models.sampling import to_pixels

MAX_IMAGES = 16
ROW = 4
"""Images in a row of the grid, each as three tiles."""


class Reconstructions(keras.callbacks.Callback):
    """Writes a grid at the end of every epoch: images, their visible patches, and what the exported model draws.

    Args:
        run: a `Run`; grids go to its `samples` folder and to TensorBoard.
        batch: dict as `make_held_out_batches` returns, of which the first `MAX_IMAGES` images are used.
    """

    def __init__(self, run, batch):
        super().__init__()
        self.run, self.batch = run, {name: value[:MAX_IMAGES] for name, value in batch.items()}

    def on_train_begin(self, logs=None):
        self.reconstruct = tf.function(lambda batch: [to_pixels(images) for images in self.model.reconstruct(batch)])
        self.writer = tf.summary.create_file_writer(str(self.run.tensorboard))

    def on_epoch_end(self, epoch, logs=None):
        tiles = [to_pixels(self.batch["images"]), *self.reconstruct(self.batch)]
        tiles = np.stack([images.numpy() for images in tiles], axis=1)
        tiles = tiles.reshape(-1, *tiles.shape[2:])
        plots.save_grid(self.run.samples / f"epoch-{epoch + 1:05d}.png", tiles, 3 * ROW)
        with self.writer.as_default():
            tf.summary.image(
                "reconstructions", plots.make_grid(tiles, 3 * ROW)[None], step=(epoch + 1) * self.params["steps"]
            )
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()
