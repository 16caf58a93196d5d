"""Losses that return one value per example, so that a step can average them exactly over any number of replicas."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class GANLosses(NamedTuple):
    """The losses of a GAN; each maps logits, float (batch, 1), of the discriminator to float32 (batch,)."""

    generator: Callable
    """Of the generator, from logits of generated images."""

    real: Callable
    """Of the discriminator, from logits of real images."""

    fake: Callable
    """Of the discriminator, from logits of generated images."""


def real_loss(logits):
    """Returns -log D(x), float32 (batch,), from logits (batch, 1) of real images (Goodfellow et al. 2014, eq. 1)."""
    return tf.nn.softplus(-logits[:, 0])


def fake_loss(logits):
    """Returns -log(1 - D(G(z))), float32 (batch,), from logits (batch, 1) of generated images (ibid., eq. 1)."""
    return tf.nn.softplus(logits[:, 0])


def non_saturating_loss(logits):
    """Returns the generator's -log D(G(z)), float32 (batch,), from logits (batch, 1) (ibid., section 3)."""
    return tf.nn.softplus(-logits[:, 0])


NON_SATURATING = GANLosses(non_saturating_loss, real_loss, fake_loss)

HINGE = GANLosses(
    generator=lambda logits: -logits[:, 0],
    real=lambda logits: tf.nn.relu(1 - logits[:, 0]),
    fake=lambda logits: tf.nn.relu(1 + logits[:, 0]),
)
"""Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17."""

LEAST_SQUARES = GANLosses(
    generator=lambda logits: tf.square(logits[:, 0] - 1) / 2,
    real=lambda logits: tf.square(logits[:, 0] - 1) / 2,
    fake=lambda logits: tf.square(logits[:, 0]) / 2,
)
"""Mao et al. 2017, equation 9."""

WASSERSTEIN = GANLosses(
    generator=lambda logits: -logits[:, 0],
    real=lambda logits: -logits[:, 0],
    fake=lambda logits: logits[:, 0],
)
"""Arjovsky et al. 2017, equation 2; for a discriminator whose gradient is bounded."""

GAN_LOSSES = {
    "non_saturating": NON_SATURATING,
    "hinge": HINGE,
    "least_squares": LEAST_SQUARES,
    "wasserstein": WASSERSTEIN,
}
"""By --loss."""


def smooth_labels(label_smoothing):
    """Returns the non-saturating losses with a target of 1 - `label_smoothing` for real images.

    One-sided: the target for generated images stays 0 (Salimans et al. 2016, section 3.4).
    """

    def smoothed_loss(logits):
        return (1 - label_smoothing) * real_loss(logits) + label_smoothing * fake_loss(logits)

    return NON_SATURATING._replace(real=smoothed_loss)


def cross_entropy(targets, logits, label_smoothing=0.0):
    """Returns the cross-entropy in nats, float32 (...), of softmax(logits) against targets.

    Args:
        targets: float32 (..., classes), probabilities.
        logits: float (..., classes).
        label_smoothing: fraction of each target that is distributed over all classes (Szegedy et al. 2015, section 7).
    """
    classes = tf.cast(tf.shape(targets)[-1], tf.float32)
    targets = targets * (1 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))


def token_cross_entropy(ids, logits):
    """Returns the cross-entropy in nats, float32 (...), of softmax(logits) against ids.

    Args:
        ids: int (...), indices into the last axis of the logits.
        logits: float (..., vocabulary).
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(ids, tf.cast(logits, tf.float32))
