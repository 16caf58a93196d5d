"""Random seeds and determinism."""

import keras
import tensorflow as tf


def seed_everything(seed, deterministic=False):
    """Seeds Python, NumPy and Keras; with `deterministic` TensorFlow also uses deterministic ops only."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
