"""Images from the signatures of a generator: of seeds, between seeds, of cut noise, and of classes."""

import numpy as np
import tensorflow as tf

from karpa_tf.errors import UserError, nearest
from karpa_tf.models import sampling


def draw_images(functions, latent_dim, classes, config):
    """Returns images, uint8 (n, height, width, channels), and the columns of their grid, or None for a square.

    Image i is that of seed + i. If there are classes, and no --label, there is a row for each class, and image i of
    every row has the noise of seed + i.

    Args:
        functions: dict with the signatures "serving_default" and "noise" of a generator.
        latent_dim: size of its noise vectors.
        classes: names of its classes, empty if it is not conditional.
        config: a `SamplingConfig` with `n`.

    Raises:
        UserError: there is no such class.
    """
    if config.label is not None and config.label not in classes:
        raise UserError(
            f"--label {config.label}: the model has no such class{nearest(config.label, classes)}"
            if classes
            else "--label needs a conditional GAN; this one was trained without classes."
        )
    selected = [classes.index(config.label)] if config.label else range(len(classes))
    columns = -(-config.n // max(len(selected), 1))
    count = columns * max(len(selected), 1)
    labels = {"labels": tf.constant(np.repeat(selected, columns), tf.int64)} if classes else {}
    seeds = config.seed + np.resize(np.arange(columns), count)
    if config.interpolate or config.walk or config.truncation:
        noise = np.resize(_draw_noise(config, columns, latent_dim), (count, latent_dim))
        images = functions["noise"](noise=tf.constant(noise), **labels)["images"]
    else:
        images = functions["serving_default"](seed=tf.constant(seeds, tf.int64), **labels)["images"]
    return images.numpy(), columns if len(selected) > 1 else None


def _draw_noise(config, count, latent_dim):
    """Returns float32 (count, latent_dim)."""
    if config.interpolate or config.walk:
        noise = sampling.interpolate_seeds(config.seed, latent_dim, count, config.walk or 2)
    else:
        noise = sampling.noise_from_seeds(tf.range(config.seed, config.seed + count, dtype=tf.int64), latent_dim)
    return (sampling.truncate(noise, config.truncation) if config.truncation else noise).numpy()
