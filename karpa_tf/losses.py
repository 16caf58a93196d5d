"""Losses that return one value per example, so that a step can weigh them rightly over any number of replicas."""

import tensorflow as tf


def real_loss(logits):
    """Returns -log D(x), float32 (batch,), from logits (batch, 1) of real images (Goodfellow et al. 2014, eq. 1)."""
    return tf.nn.softplus(-logits[:, 0])


def fake_loss(logits):
    """Returns -log(1 - D(G(z))), float32 (batch,), from logits (batch, 1) of generated images (ibid., eq. 1)."""
    return tf.nn.softplus(logits[:, 0])


def non_saturating_loss(logits):
    """Returns the generator's -log D(G(z)), float32 (batch,), from logits (batch, 1) (ibid., section 3)."""
    return tf.nn.softplus(-logits[:, 0])
