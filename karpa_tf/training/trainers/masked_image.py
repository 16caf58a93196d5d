"""The step of masked image modeling: a mean over the masked patches, exact on any number of replicas."""

import tensorflow as tf

from karpa_tf.models.patches import compute_moments, join_patches, replace_patches, split_patches
from karpa_tf.training.trainers.masked_lm import MaskedLM
from karpa_tf.training.trainers.updates import select_inputs


class MaskedImages(MaskedLM):
    """Trains a masked autoencoder, with `fit` (He et al. 2021, section 3).

    `fit` and `evaluate` take dicts of the inputs of the model and of `weights`, float32 (batch,): 1, or, in `evaluate`,
    0 for images that only pad the batch.

    Every step reports `loss`, the squared error of a pixel, as a mean over the masked patches of the epoch so far.

    Args:
        model: functional model, from a dict to pixels (batch, masked patches, patch_size² * channels).
        patch_size: in pixels.
        normalize_targets: whether a patch is predicted without its mean and divided by its standard deviation.
        ema: as for `MaskedLM`.
    """

    def __init__(self, model, patch_size, normalize_targets=True, ema=0.0, **kwargs):
        super().__init__(model, ema, **kwargs)
        self.patch_size, self.normalize_targets = patch_size, normalize_targets

    @property
    def metrics(self):
        return [self.loss_mean]

    def compute_targets(self, data):
        """Returns what the model should predict, float32 (batch, masked patches, patch_size² * channels)."""
        targets = tf.gather(split_patches(data["images"], self.patch_size), data["masked"], batch_dims=1)
        if not self.normalize_targets:
            return targets
        mean, stddev = compute_moments(targets)
        return (targets - mean) / stddev

    def reconstruct(self, data):
        """Returns images with their masked patches in gray, and with those that the exported model draws instead.

        Both are float32 (batch, height, width, channels) in [-1, 1]. A model of normalized pixels does not know the
        mean and the standard deviation of what it draws; they are taken from the image.
        """
        images, masked = data["images"], data["masked"]
        drawn = self.exported(select_inputs(self.exported, data), training=False)
        patches = split_patches(images, self.patch_size)
        if self.normalize_targets:
            mean, stddev = compute_moments(tf.gather(patches, masked, batch_dims=1))
            drawn = drawn * stddev + mean
        return [
            join_patches(replace_patches(patches, masked, values), images.shape[1:], self.patch_size)
            for values in (tf.zeros_like(drawn), tf.clip_by_value(drawn, -1.0, 1.0))
        ]

    def _counts(self, data):
        return {"patches": tf.size(data["masked"])}

    def _loss(self, data, counts):
        outputs = self.network(select_inputs(self.network, data), training=True)
        return tf.reduce_sum(self._update_metrics(data, outputs)) / counts["patches"]

    def _update_metrics(self, data, outputs):
        losses = tf.reduce_mean(tf.math.squared_difference(outputs, self.compute_targets(data)), axis=-1)
        weights = data["weights"][:, None] * tf.ones_like(losses)
        self.loss_mean.update_state(losses, sample_weight=weights)
        return losses * weights
