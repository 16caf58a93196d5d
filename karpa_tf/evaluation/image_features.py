"""Features of images, by which sets of images are compared: of a classifier's run, of InceptionV3, or pixels."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.data.cache import cache_folder, compute_fingerprint
from karpa_tf.data.images.decoding import normalize
from karpa_tf.errors import UserError, first_line
from karpa_tf.system.console import track
from karpa_tf.system.files import digest

BATCH_SIZE = 128
PIXELS, INCEPTION = "pixels", "inception"
PIXEL_SIZE = 16
"""Height and width to which images are reduced to compare their pixels."""

INCEPTION_SIZE = 299


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


def load_features(name, weights, load_classifier):
    """Returns the `ImageFeatures` that `--features` names.

    Args:
        name: "pixels"; the run folder of a classifier, whose inputs of the last layer are used; or "inception", whose
            mean last feature map is used, as by Heusel et al. (2017). Their network has other weights: figures with
            those of keras.applications cannot be compared with published ones.
        weights: file of the weights of InceptionV3 without its head, or None.
        load_classifier: function of the run folder that returns the model, images in [-1, 1] to logits, the file of its
            weights, and the names of the classes.

    Raises:
        UserError: there are no such features or weights.
    """
    if weights and name != INCEPTION:
        raise UserError(f"--weights is for --features {INCEPTION}; received --features {name}.")
    if name == PIXELS:
        return ImageFeatures(f"pixels at {PIXEL_SIZE}x{PIXEL_SIZE}", f"{PIXELS} {PIXEL_SIZE}", _compute_pixels)
    if name == INCEPTION:
        return _load_inception(weights)
    if not Path(name).is_dir():
        raise UserError(f"--features {name}: expected {PIXELS}, {INCEPTION}, or the run folder of a classifier.")
    model, file, classes = load_classifier(name)
    outputs = [model.get_layer("logits").input, keras.layers.Softmax(dtype="float32")(model.output)]
    description = f"classifier of {model.output_shape[-1]} classes, {name}"
    return ImageFeatures(description, digest(file), make_function(keras.Model(model.input, outputs)), classes)


def make_function(model):
    """Returns a function for `ImageFeatures.compute_batch`.

    Args:
        model: maps images in [-1, 1] to features, or to [features, probabilities].
    """
    _, height, width, channels = model.input_shape

    @tf.function(autograph=False, reduce_retracing=True)
    def predict(images):
        return model(normalize(_convert(images, height, width, channels)), training=False)

    def compute(images):
        outputs = predict(tf.constant(images))
        features, probabilities = outputs if isinstance(outputs, list | tuple) else (outputs, None)
        features = np.asarray(features, np.float32).reshape(len(images), -1)
        return features, None if probabilities is None else np.asarray(probabilities)

    return compute


def _load_inception(weights):
    if not weights:
        raise UserError(
            f"--features {INCEPTION} needs --weights FILE: inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5, "
            "which keras.applications.InceptionV3(include_top=False) downloads to ~/.keras/models."
        )
    shape = (INCEPTION_SIZE, INCEPTION_SIZE, 3)
    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=shape, pooling="avg")
    try:
        model.load_weights(weights)
    except Exception as error:
        raise UserError(
            f"--weights {weights} cannot be loaded ({first_line(error)}); expected InceptionV3's without its head."
        ) from error
    return ImageFeatures("InceptionV3 of keras.applications", digest(Path(weights)), make_function(model))


def _compute_pixels(images):
    pixels = _convert(tf.constant(images), PIXEL_SIZE, PIXEL_SIZE, images.shape[-1])
    return np.asarray(pixels).reshape(len(images), -1) / np.float32(255), None


def _convert(images, height, width, channels):
    """Returns images, uint8, in another size and with other channels, float32 in [0, 255]."""
    images = tf.cast(images, tf.float32)
    if images.shape[-1] != channels:
        images = tf.image.grayscale_to_rgb(images) if channels == 3 else tf.image.rgb_to_grayscale(images)
    if images.shape[1:3] != (height, width):
        images = tf.image.resize(images, (height, width), antialias=True)
    return images
