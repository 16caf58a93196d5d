"""What is watched and drawn while a GAN trains."""

import numpy as np

from karpa_tf.models.sampling import fixed_inputs
from karpa_tf.training.callbacks.image_distance import ImageDistance
from karpa_tf.training.callbacks.sample_grids import SampleGrids, diversity
from karpa_tf.training.callbacks.watch import DiscriminatorWatch

COLUMNS, MAX_ROWS = 8, 16
"""Of the grids of samples; a conditional GAN has a row for each class."""


def make_gan_callbacks(config, run, image_set, measure=None):
    """Returns the callbacks of a `GANConfig`: warnings, grids of samples and distances from the real images.

    Args:
        config: a `GANConfig`.
        run: a `Run`.
        image_set: the `ImageSet`, labeled if the GAN is conditional.
        measure: function of generated images that returns their distance, on the chief with --evaluate-every, or None.
    """
    num_classes, latent_dim, callbacks = len(image_set.classes), config.model.latent_dim, []
    if config.loss != "wasserstein":  # whose logits say nothing about who wins
        callbacks.append(DiscriminatorWatch())
    if config.evaluate_every:
        labels = image_set.sample(config.evaluated_images).labels
        inputs = fixed_inputs(latent_dim, min(config.evaluated_images, len(image_set.images)), labels)
        callbacks.append(ImageDistance(run, inputs, measure, config.evaluate_every))
    if run.writes:
        rows = min(num_classes, MAX_ROWS) or COLUMNS
        labels = np.repeat(np.arange(rows), COLUMNS) if num_classes else None
        inputs = fixed_inputs(latent_dim, rows * COLUMNS, labels)
        some = image_set.sample(1000)
        callbacks.append(SampleGrids(run, inputs, diversity(some.images[:], some.labels), COLUMNS))
    return callbacks
