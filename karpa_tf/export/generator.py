"""A generator as a SavedModel: images for seeds, and images for noise."""

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import Call, Export
from karpa_tf.models.sampling import noise_from_seeds, to_pixels

AT_A_TIME = 8
"""Images that the seed signature draws in one go."""


def make_generator_export(generator):
    """Returns the `Export` of a generator.

    Signatures; `images` are uint8 (batch, side, side, channels):
        serving_default: `seed`, int64 (batch,), to `images`. A seed gives the same image, to the bit, alone and in
            any batch.
        noise: `noise`, float32 (batch, latent_dim), standard normal, to `images`. The batch is drawn at once, which is
            faster; now and then a pixel differs by one gray level from one batch size to another.
        image_bytes: `seed`, int64 (batch,), to `image_bytes`, string (batch,): the same images as PNG files.

    Args:
        generator: functional model, noise to images in [-1, 1].
    """
    latent_dim, shape = generator.input_shape[-1], generator.output_shape[1:]
    functions = generator_functions(generator)
    noise = np.random.default_rng(0).normal(size=(4, latent_dim)).astype(np.float32)
    seeds = [{"seed": np.arange(count, dtype=np.int64)} for count in (8, 1)]
    odd = [{"seed": np.array([-1, 2**40, *range(AT_A_TIME)], np.int64)}]
    noises = [{"noise": noise}, {"noise": noise[:1]}]
    return Export(
        task="image_generation",
        functions=functions,
        examples={"serving_default": seeds, "noise": noises, "image_bytes": seeds},
        edge_cases={"serving_default": odd, "image_bytes": odd},
        tolerances={"noise": 1},
        convertible=functions["noise"],
        convertible_examples=noises,
        details={"latent_dim": latent_dim, "shape": list(shape)},
        about=f"It draws images of {'x'.join(map(str, shape))}, like those that it has learned from, one for each "
        "seed.",
        limits=(
            "It has learned from its training images alone, and nothing can be asked for but a number.",
            "Whether it draws all kinds of its training images, and how often, was not measured.",
        ),
        calls={
            "serving_default": Call(
                "A seed gives the same image, to the bit, alone and in any batch.",
                "seed=tf.constant([0, 1, 2], tf.int64)",
                '"instances": [{"seed": 0}]',
            ),
            "noise": Call(
                "Standard normal numbers. The whole batch is drawn at once, which is faster than by seeds; now and "
                "then a pixel differs by one gray level from one batch size to another.",
                f"noise=tf.random.normal((3, {latent_dim}))",
            ),
            "image_bytes": Call(
                "The images of the seeds as PNG files; in REST's answers these are base64.",
                "seed=tf.constant([0, 1, 2], tf.int64)",
                '"instances": [{"seed": 0}]',
            ),
        },
    )


def generator_functions(generator):
    """Returns the signatures' functions by name, as `make_generator_export` describes them; the default first."""
    latent_dim, shape = generator.input_shape[-1], generator.output_shape[1:]
    chunk_of_images = tf.TensorSpec((AT_A_TIME, *shape), tf.uint8)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, latent_dim), tf.float32, name="noise")])
    def from_noise(noise):
        return {"images": to_pixels(generator(noise, training=False))}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def from_seed(seed):
        # Convolutions round differently for different batch sizes, so images are always drawn eight at a time.
        count = tf.shape(seed)[0]
        padded = tf.pad(seed, [[0, -count % AT_A_TIME]])
        chunks = tf.reshape(noise_from_seeds(padded, latent_dim), (-1, AT_A_TIME, latent_dim))
        images = tf.map_fn(lambda noise: from_noise(noise)["images"], chunks, fn_output_signature=chunk_of_images)
        return {"images": tf.reshape(images, (-1, *shape))[:count]}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def files_from_seed(seed):
        return {"image_bytes": tf.map_fn(tf.io.encode_png, from_seed(seed)["images"], fn_output_signature=tf.string)}

    return {"serving_default": from_seed, "noise": from_noise, "image_bytes": files_from_seed}
