"""A generator as a SavedModel: pictures for seeds, and pictures for noise."""

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import publish
from karpa_tf.models.sampling import noise_from_seeds, to_pixels

AT_A_TIME = 8
"""Pictures that the seed signature draws in one go."""


def export_generator(generator, base):
    """Publishes the next version of a generator below `base` and returns its folder.

    Signatures; `images` are uint8 (batch, side, side, channels):
        serving_default: `seed`, int64 (batch,), to `images`. A seed gives the same picture, to the bit, alone and in
            any batch.
        noise: `noise`, float32 (batch, latent_dim), standard normal, to `images`. The batch is drawn at once, which is
            faster; now and then a pixel differs by one grey level from one batch size to another.
        image_bytes: `seed`, int64 (batch,), to `image_bytes`, string (batch,): the same pictures as PNG files.

    Args:
        generator: functional model, noise to images in [-1, 1].
        base: folder of the model's versions.
    """
    functions = generator_functions(generator)

    def check(signatures):
        seeds = tf.constant([0, 1, 2], tf.int64)
        served = signatures["serving_default"](seed=seeds)["images"]
        np.testing.assert_array_equal(served, functions["serving_default"](seeds)["images"])

    return publish(base, functions, [generator], check)


def generator_functions(generator):
    """Returns the functions of the signatures by name, as `export_generator` describes them; the default first."""
    latent_dim, shape = generator.input_shape[-1], generator.output_shape[1:]
    chunk_of_images = tf.TensorSpec((AT_A_TIME, *shape), tf.uint8)

    @tf.function(input_signature=[tf.TensorSpec((None, latent_dim), tf.float32, name="noise")])
    def from_noise(noise):
        return {"images": to_pixels(generator(noise, training=False))}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def from_seed(seed):
        # Convolutions round differently for different batch sizes, so pictures are always drawn eight at a time.
        count = tf.shape(seed)[0]
        padded = tf.pad(seed, [[0, -count % AT_A_TIME]])
        chunks = tf.reshape(noise_from_seeds(padded, latent_dim), (-1, AT_A_TIME, latent_dim))
        images = tf.map_fn(lambda noise: from_noise(noise)["images"], chunks, fn_output_signature=chunk_of_images)
        return {"images": tf.reshape(images, (-1, *shape))[:count]}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def files_from_seed(seed):
        return {"image_bytes": tf.map_fn(tf.io.encode_png, from_seed(seed)["images"], fn_output_signature=tf.string)}

    return {"serving_default": from_seed, "noise": from_noise, "image_bytes": files_from_seed}
