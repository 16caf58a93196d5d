"""SavedModels of masked autoencoders: embeddings of images, and images whose masked patches are drawn."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import decode_squares, normalize
from karpa_tf.export.versions import Call, Export
from karpa_tf.models.patches import compute_moments, join_patches, split_patches
from karpa_tf.models.sampling import to_pixels


def make_masked_image_export(encoder, reconstructor, patch_size, normalized, images=None, *, task):
    """Returns the `Export` of a masked autoencoder. The signatures are:

    - serving_default: `image_bytes`, string (batch,): JPEG, PNG, GIF, BMP or WebP files of any size; returns
      `embedding`, float32 (batch, hidden_dim).
    - images: `images`, uint8 (batch, height, width, channels); returns the same.
    - reconstruct: `images`, the same, and `mask`, bool (batch, rows, columns), True for patches to draw; returns
      `images`, uint8, in which only these differ.

    Args:
        encoder: model of images, float32 (batch, height, width, channels) in [-1, 1], to embeddings.
        reconstructor: the model from `make_reconstructor`.
        patch_size: in pixels.
        normalized: whether the reconstructor's pixels are those of normalized patches.
        images: examples of real data, uint8 (n, height, width, channels), or None.
        task: name of the task, for the model card.
    """
    functions = make_masked_image_functions(encoder, reconstructor, patch_size, normalized)
    height, width, _ = shape = encoder.input_shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    requests = _make_requests(noise if images is None else images, patch_size)
    rows, columns = height // patch_size, width // patch_size
    brightness = "their brightness and contrast are those of the given image" if normalized else "nothing else is used"
    return Export(
        task=task,
        functions=functions,
        examples=requests,
        real_examples=images is not None,
        edge_cases=_make_requests(noise, patch_size),
        tolerances={"reconstruct": 1},
        convertible=functions["images"],
        convertible_examples=requests["images"],
        details={
            "shape": list(shape),
            "patch_size": patch_size,
            "dimensions": encoder.output_shape[-1],
            "normalized": normalized,
        },
        about=(
            f"This model maps an image to {encoder.output_shape[-1]} numbers, and draws masked parts of an image from "
            "the others. It was trained without labels; a classifier can start from it."
        ),
        limits=(
            f"Images are cropped to the central square and resized to {height}x{width} pixels.",
            "Embeddings of different models, or of different versions of this one, cannot be compared.",
            "What it draws is likely, not true: it must not be used to restore evidence.",
        ),
        calls={
            "serving_default": Call(
                "`image_bytes` are JPEG, PNG, GIF, BMP or WebP files of any size.",
                'image_bytes=tf.constant([open("image.jpg", "rb").read()])',
                """"instances": [{"image_bytes": {"b64": "'$(base64 -w0 image.jpg)'"}}]""",
            ),
            "images": Call("`images` are pixels from 0 to 255.", f"images=tf.zeros({(1, *shape)}, tf.uint8)"),
            "reconstruct": Call(
                f"`mask` is true for patches of {patch_size}x{patch_size} pixels to draw; {brightness}.",
                f"images=tf.zeros({(1, *shape)}, tf.uint8), mask=tf.eye({rows}, {columns}, (1,), tf.bool)",
            ),
        },
    )


def make_masked_image_functions(encoder, reconstructor, patch_size, normalized):
    """Returns the functions of the signatures by name, see `make_masked_image_export`; the default is the first."""
    height, width, channels = shape = encoder.input_shape[1:]
    grid = height // patch_size, width // patch_size

    def embed(pixels):
        return {"embedding": tf.cast(encoder(normalize(pixels), training=False), tf.float32)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_files(image_bytes):
        return embed(decode_squares(image_bytes, height, channels))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *shape), tf.uint8, name="images")])
    def from_images(images):
        return embed(images)

    signature = [
        tf.TensorSpec((None, *shape), tf.uint8, name="images"),
        tf.TensorSpec((None, *grid), tf.bool, name="mask"),
    ]

    @tf.function(autograph=False, input_signature=signature)
    def reconstruct(images, mask):
        mask = tf.reshape(mask, (-1, grid[0] * grid[1]))
        pixels = normalize(images)
        drawn = reconstructor({"images": pixels, "mask": mask}, training=False)
        if normalized:
            mean, stddev = compute_moments(split_patches(pixels, patch_size))
            drawn = drawn * stddev + mean
        patches = tf.where(mask[..., None], to_pixels(drawn), split_patches(images, patch_size))
        return {"images": join_patches(patches, shape, patch_size)}

    return {"serving_default": from_files, "images": from_images, "reconstruct": reconstruct}


def _make_requests(images, patch_size):
    """Returns two requests to each signature: with all images, uint8 (n, height, width, channels), and the first."""
    files = np.array([tf.io.encode_png(image).numpy() for image in images], object)
    grid = (len(images), images.shape[1] // patch_size, images.shape[2] // patch_size)
    mask = np.random.default_rng(0).random(grid) < 0.5
    return {
        "serving_default": [{"image_bytes": files}, {"image_bytes": files[:1]}],
        "images": [{"images": images}, {"images": images[:1]}],
        "reconstruct": [{"images": images, "mask": mask}, {"images": images[:1], "mask": mask[:1]}],
    }
