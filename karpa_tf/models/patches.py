"""Images as square patches, in rows from the top left, and back, in TensorFlow ops."""

import tensorflow as tf

EPSILON = 1e-6
"""Added to the variance of a patch (He et al. 2021)."""


def split_patches(images, patch_size):
    """Returns the patches of images as vectors, (batch, patches, patch_size² * channels).

    Args:
        images: (batch, height, width, channels) of any dtype, whose height and width `patch_size` divides.
        patch_size: in pixels.
    """
    height, width, channels = images.shape[1:]
    rows, columns = height // patch_size, width // patch_size
    x = tf.reshape(images, (-1, rows, patch_size, columns, patch_size, channels))
    return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, rows * columns, patch_size**2 * channels))


def join_patches(patches, shape, patch_size):
    """Returns the images of the patches that `split_patches` returns, (batch, height, width, channels).

    Args:
        patches: (batch, patches, patch_size² * channels).
        shape: (height, width, channels).
        patch_size: in pixels.
    """
    height, width, channels = shape
    rows, columns = height // patch_size, width // patch_size
    x = tf.reshape(patches, (-1, rows, columns, patch_size, patch_size, channels))
    return tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))


def replace_patches(patches, positions, values):
    """Returns patches of which those at some positions are replaced.

    Args:
        patches: (batch, patches, size).
        positions: int32 (batch, replaced patches), all different in a row.
        values: (batch, replaced patches, size).
    """
    rows = tf.range(tf.shape(positions)[0])[:, None] + tf.zeros_like(positions)
    return tf.tensor_scatter_nd_update(patches, tf.stack([rows, positions], axis=-1), values)


def compute_moments(patches):
    """Returns mean and standard deviation of each patch, float (batch, patches, 1); the latter is never 0."""
    mean, variance = tf.nn.moments(patches, axes=[-1], keepdims=True)
    return mean, tf.sqrt(variance + EPSILON)
