"""Features of images by a function, such as a network, computed once and cached."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from karpa_tf.data.cache import cache_folder, compute_fingerprint
from karpa_tf.data.images.decoding import normalize
from karpa_tf.system.console import track

BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class ImageFeatures:
    """A function from images to vectors."""

    name: str
    """What the vectors are, for reports."""

    fingerprint: str
    """Changes when the vectors do."""

    compute_batch: Callable
    """Function of uint8 (batch, height, width, channels) that returns float32 (batch, features), and probabilities of
    classes, float32 (batch, classes), or None."""

    classes: tuple[str, ...] = ()
    """Names of the classes of the probabilities."""

    def compute(self, images, description=None):
        """Returns features, float32 (n, features), and probabilities, float32 (n, classes), or None.

        Args:
            images: uint8 (n, height, width, channels), or an `ImageSubset`.
            description: text beside the progress bar; None shows none.
        """
        starts = range(0, len(images), BATCH_SIZE)
        starts = track(starts, description) if description else starts
        parts = [self.compute_batch(np.asarray(images[start : start + BATCH_SIZE])) for start in starts]
        features, probabilities = zip(*parts, strict=True)
        return np.concatenate(features), None if probabilities[0] is None else np.concatenate(probabilities)

    def compute_cached(self, images, fingerprint, description, cache_dir=None):
        """Returns the features of images of a data set, float32 (n, features), memory-mapped, computed if need be.

        Args:
            images: as for `compute`.
            fingerprint: changes when the images do.
            description: text beside the progress bar.
            cache_dir: folder of the cache; None is the default.
        """
        key = compute_fingerprint("features", self.fingerprint, fingerprint, len(images))

        def write(folder):
            np.save(folder / "features.npy", self.compute(images, description)[0])

        return np.load(cache_folder(f"features-{key}", write, cache_dir) / "features.npy", mmap_mode="r")


def make_function(model):
    """Returns a function for `ImageFeatures.compute_batch`.

    Args:
        model: maps images in [-1, 1] to features, or to [features, probabilities].
    """
    _, height, width, channels = model.input_shape

    @tf.function(autograph=False, reduce_retracing=True)
    def predict(images):
        return model(normalize(resize(images, height, width, channels)), training=False)

    def compute(images):
        outputs = predict(tf.constant(images))
        features, probabilities = outputs if isinstance(outputs, list | tuple) else (outputs, None)
        features = np.asarray(features, np.float32).reshape(len(images), -1)
        return features, None if probabilities is None else np.asarray(probabilities)

    return compute


def resize(images, height, width, channels):
    """Returns images, uint8, in another size and with other channels, float32 in [0, 255]."""
    images = tf.cast(images, tf.float32)
    if images.shape[-1] != channels:
        images = tf.image.grayscale_to_rgb(images) if channels == 3 else tf.image.rgb_to_grayscale(images)
    if images.shape[1:3] != (height, width):
        images = tf.image.resize(images, (height, width), antialias=True)
    return images
