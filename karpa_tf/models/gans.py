"""The networks of all GANs by the family of their config."""

from karpa_tf.models import dcgan, residual_gan

FAMILIES = {"dcgan": dcgan, "residual_gan": residual_gan}
"""Modules with `make_generator` and `make_discriminator`."""


def make_generator(config, num_classes=0):
    """Returns the generator of a model config; inputs are `noise`, or [`noise`, `labels`] if there are classes."""
    return FAMILIES[config.family].make_generator(config, num_classes)


def make_discriminator(config, num_classes=0):
    """Returns the discriminator of a model config; inputs are `images`, or [`images`, `labels`]."""
    return FAMILIES[config.family].make_discriminator(config, num_classes)


def join_inputs(model, first, labels=None):
    """Returns what to call a generator or discriminator with: `first`, or [`first`, `labels`] if it is conditional."""
    return [first, labels] if len(model.inputs) > 1 else first
