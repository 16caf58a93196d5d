"""SavedModels of generators, with signatures for seeds and noise."""

import dataclasses

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import Call, Export
from karpa_tf.models.sampling import noise_from_seeds, to_pixels

CHUNK_SIZE = 8
"""Number of images that the signatures for seeds generate at a time."""

SEEDS_CALL = Call(
    "The image of a seed is the same to the bit, whatever the batch.",
    "seed=tf.constant([0, 1, 2], tf.int64)",
    '"instances": [{"seed": 0}]',
)

FILES_NOTE = "The images of the seeds as PNG files, in base64 in responses of the REST API."


def make_generator_export(generator, *, task):
    """Returns the `Export` of a generator.

    The signatures are, with `images` uint8 (batch, height, width, channels):

    - serving_default: `seed`, int64 (batch,), to `images`. The image of a seed is the same to the bit, whatever the
      batch.
    - noise: `noise`, float32 (batch, latent_dim), standard normal, to `images`. The whole batch is generated at once,
      which is faster; pixels may differ by one gray level between batch sizes.
    - image_bytes: `seed`, int64 (batch,), to `image_bytes`, string (batch,): the same images as PNG files.

    Args:
        generator: functional model that maps noise to images in [-1, 1].
        task: name of the task, for the model card.
    """
    latent_dim, shape = generator.input_shape[-1], generator.output_shape[1:]
    functions = make_generator_functions(generator)
    noise = np.random.default_rng(0).normal(size=(4, latent_dim)).astype(np.float32)
    seed_requests = [{"seed": np.arange(count, dtype=np.int64)} for count in (8, 1)]
    edge_cases = [{"seed": np.array([-1, 2**40, *range(CHUNK_SIZE)], np.int64)}]
    noise_requests = [{"noise": noise}, {"noise": noise[:1]}]
    return Export(
        task=task,
        form="seed",
        functions=functions,
        examples={"serving_default": seed_requests, "noise": noise_requests, "image_bytes": seed_requests},
        edge_cases={"serving_default": edge_cases, "image_bytes": edge_cases},
        tolerances={"noise": 1},
        convertible=functions["noise"],
        convertible_examples=noise_requests,
        details={"latent_dim": latent_dim, "shape": list(shape)},
        about=f"This model generates images of {'x'.join(map(str, shape))} (height, width, channels) that resemble its "
        "training images, one for each seed.",
        limits=(
            "It generates images like those it was trained on; what an image shows cannot be chosen.",
            "Whether it generates all kinds of its training images, and how often, was not measured.",
        ),
        calls={
            "serving_default": SEEDS_CALL,
            "noise": Call(
                "`noise` are standard normal numbers. The whole batch is generated at once, which is faster than with "
                "seeds; pixels may differ by one gray level between batch sizes.",
                f"noise=tf.random.normal((3, {latent_dim}))",
            ),
            "image_bytes": dataclasses.replace(SEEDS_CALL, note=FILES_NOTE),
        },
    )


def make_generator_functions(generator):
    """Returns the functions of the signatures by name, see `make_generator_export`; the default is the first."""
    latent_dim, shape = generator.input_shape[-1], generator.output_shape[1:]
    chunk_spec = tf.TensorSpec((CHUNK_SIZE, *shape), tf.uint8)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, latent_dim), tf.float32, name="noise")])
    def from_noise(noise):
        return {"images": to_pixels(generator(noise, training=False))}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def from_seed(seed):
        # The rounding of convolutions depends on the batch size, so images are always generated in chunks of eight.
        count = tf.shape(seed)[0]
        padded = tf.pad(seed, [[0, -count % CHUNK_SIZE]])
        chunks = tf.reshape(noise_from_seeds(padded, latent_dim), (-1, CHUNK_SIZE, latent_dim))
        images = tf.map_fn(lambda noise: from_noise(noise)["images"], chunks, fn_output_signature=chunk_spec)
        return {"images": tf.reshape(images, (-1, *shape))[:count]}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.int64, name="seed")])
    def files_from_seed(seed):
        return {"image_bytes": tf.map_fn(tf.io.encode_png, from_seed(seed)["images"], fn_output_signature=tf.string)}

    return {"serving_default": from_seed, "noise": from_noise, "image_bytes": files_from_seed}
