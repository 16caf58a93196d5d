"""SavedModels of conditional generators, with signatures for seeds and noise, each with labels."""

import dataclasses

import numpy as np
import tensorflow as tf

from karpa_tf.export.compatibility import LABELS, format_lines
from karpa_tf.export.generator import CHUNK_SIZE, FILES_NOTE, SEEDS_CALL
from karpa_tf.export.versions import Call, Export
from karpa_tf.models.sampling import noise_from_seeds, to_pixels


def make_export(generator, classes, *, task):
    """Returns the `Export` of a conditional generator.

    The signatures are those of `make_generator_export` with a further input, `labels`, int64 (batch,), indices in
    `classes`. What other numbers give is undefined.

    Args:
        generator: functional model that maps [noise, labels] to images in [-1, 1].
        classes: names of the classes.
        task: name of the task, for the model card.
    """
    functions = make_functions(generator)
    latent_dim, shape = generator.input_shape[0][-1], generator.output_shape[1:]
    labels = np.arange(CHUNK_SIZE, dtype=np.int64) % len(classes)
    noise = np.random.default_rng(0).normal(size=(4, latent_dim)).astype(np.float32)
    seed_requests = [{"seed": np.arange(n, dtype=np.int64), "labels": labels[:n]} for n in (8, 1)]
    noise_requests = [{"noise": noise[:n], "labels": labels[:n]} for n in (4, 1)]
    edge_cases = [{"seed": np.array([-1, 2**40], np.int64), "labels": labels[-2:]}]
    size = "x".join(map(str, shape))
    call = dataclasses.replace(
        SEEDS_CALL,
        note=f"{SEEDS_CALL.note} `labels` are indices of classes.",
        python="seed=tf.constant([0, 1, 2], tf.int64), labels=tf.constant([0, 0, 1], tf.int64)",
        rest_body='"instances": [{"seed": 0, "labels": 1}]',
    )
    return Export(
        task=task,
        form="labeled_seed",
        functions=functions,
        examples={"serving_default": seed_requests, "noise": noise_requests, "image_bytes": seed_requests},
        edge_cases={"serving_default": edge_cases, "image_bytes": edge_cases},
        tolerances={"noise": 1},
        convertible=functions["noise"],
        convertible_examples=noise_requests,
        files={LABELS: format_lines(classes)},
        details={"latent_dim": latent_dim, "shape": list(shape), "classes": list(classes)},
        about=f"This model generates images of {size} (height, width, channels) of one of {len(classes)} classes, one "
        "for each seed and label.",
        limits=(
            f"It knows its {len(classes)} classes only.",
            "Whether its images show the class that is asked for is measured by `apps.evaluate_gan` with the features "
            "of a classifier of the same classes.",
        ),
        calls={
            "serving_default": call,
            "noise": Call(
                "`noise` are standard normal numbers, `labels` indices of classes. The whole batch is generated at "
                "once, which is faster than with seeds; pixels may differ by one gray level between batch sizes.",
                f"noise=tf.random.normal((3, {latent_dim})), labels=tf.constant([0, 0, 1], tf.int64)",
            ),
            "image_bytes": dataclasses.replace(call, note=FILES_NOTE),
        },
    )


def make_functions(generator):
    """Returns the functions of the signatures by name, see `make_export`; the default first."""
    latent_dim, shape = generator.input_shape[0][-1], generator.output_shape[1:]
    chunk_spec = tf.TensorSpec((CHUNK_SIZE, *shape), tf.uint8)
    noise_spec = tf.TensorSpec((None, latent_dim), tf.float32, name="noise")
    seed_spec, labels_spec = (tf.TensorSpec((None,), tf.int64, name=name) for name in ("seed", "labels"))

    @tf.function(autograph=False, input_signature=[noise_spec, labels_spec])
    def from_noise(noise, labels):
        return {"images": to_pixels(generator([noise, tf.cast(labels, tf.int32)], training=False))}

    @tf.function(autograph=False, input_signature=[seed_spec, labels_spec])
    def from_seed(seed, labels):
        # In chunks, like the generators without classes.
        count = tf.shape(seed)[0]
        paddings = [[0, -count % CHUNK_SIZE]]
        noise = tf.reshape(noise_from_seeds(tf.pad(seed, paddings), latent_dim), (-1, CHUNK_SIZE, latent_dim))
        chunks = (noise, tf.reshape(tf.pad(labels, paddings), (-1, CHUNK_SIZE)))
        images = tf.map_fn(lambda chunk: from_noise(*chunk)["images"], chunks, fn_output_signature=chunk_spec)
        return {"images": tf.reshape(images, (-1, *shape))[:count]}

    @tf.function(autograph=False, input_signature=[seed_spec, labels_spec])
    def files_from_seed(seed, labels):
        images = from_seed(seed, labels)["images"]
        return {"image_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    return {"serving_default": from_seed, "noise": from_noise, "image_bytes": files_from_seed}
