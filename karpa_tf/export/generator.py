"""A generator as a SavedModel: pictures for seeds, and pictures for noise."""

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import publish
from karpa_tf.models.sampling import noise_from_seeds, to_pixels


def export_generator(generator, base):
    """Publishes the next version of a generator below `base` and returns its folder.

    Signatures, both with output `images`, uint8 (batch, side, side, channels):
        serving_default: `seed`, int64 (batch,). A seed gives the same picture alone and in a batch.
        noise: `noise`, float32 (batch, latent_dim), standard normal.

    Args:
        generator: functional model, noise to images in [-1, 1].
        base: folder of the model's versions.
    """
    from_seed, from_noise = generator_functions(generator)

    def save(path):
        archive = keras.export.ExportArchive()
        archive.track(generator)
        archive.add_endpoint("serving_default", from_seed)
        archive.add_endpoint("noise", from_noise)
        archive.write_out(path, verbose=False)

    def check(path):
        loaded = tf.saved_model.load(path)
        seeds = tf.constant([0, 1, 2], tf.int64)
        served = loaded.signatures["serving_default"](seed=seeds)["images"]
        np.testing.assert_array_equal(served, from_seed(seeds)["images"])

    return publish(base, save, check)


def generator_functions(generator):
    """Returns the functions of both signatures, as `export_generator` describes them."""
    latent_dim = generator.input_shape[-1]

    @tf.function(input_signature=[tf.TensorSpec((None, latent_dim), tf.float32, name="noise")])
    def from_noise(noise):
        return {"images": to_pixels(generator(noise, training=False))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def from_seed(seed):
        return from_noise(noise_from_seeds(seed, latent_dim))

    return from_seed, from_noise
