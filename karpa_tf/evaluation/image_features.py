"""Features of images, by which sets of images are compared: of a classifier's run, of InceptionV3, or pixels."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.data.images.features import ImageFeatures, make_function, resize
from karpa_tf.errors import UserError, first_line
from karpa_tf.system.files import digest

PIXELS, INCEPTION = "pixels", "inception"
PIXEL_SIZE = 16
"""Height and width to which images are reduced to compare their pixels."""

INCEPTION_SIZE = 299


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
    pixels = resize(tf.constant(images), PIXEL_SIZE, PIXEL_SIZE, images.shape[-1])
    return np.asarray(pixels).reshape(len(images), -1) / np.float32(255), None
