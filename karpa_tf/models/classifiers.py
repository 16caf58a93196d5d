"""Classifiers by family, and what all of them share."""

import itertools

import keras
from keras import layers, ops

from karpa_tf.models.airbench import make_airbench, whiten
from karpa_tf.models.application import make_application
from karpa_tf.models.cnn import make_cnn
from karpa_tf.models.resnet import make_resnet
from karpa_tf.models.vgg import make_vgg

FACTORIES = {
    "cnn": make_cnn,
    "vgg": make_vgg,
    "resnet": make_resnet,
    "airbench": make_airbench,
    "application": make_application,
}
"""Factories by `family` of their config; each takes (config, input_shape, classes)."""

FITTED = {"airbench": whiten}
"""Functions by `family` that read some of a new model's weights off training images; each takes (model, images)."""

PARTS = 4
"""Parts of the features, from the logits down, that may learn at different rates and from different epochs on."""


def make_classifier(config, input_shape, classes):
    """Returns the model of any classifier's config; images, float32 (batch, *input_shape), to logits."""
    return FACTORIES[config.family](config, input_shape, classes)


def initialize_from_images(model, config, images):
    """Sets those of a new model's weights that are read off the training images; most families have none.

    Args:
        model: what `make_classifier` returned for `config`.
        config: any classifier's config.
        images: uint8 (n, height, width, channels), of which up to 5,000 are read, at equal distances.
    """
    if config.family in FITTED:
        FITTED[config.family](model, images[:: -(-len(images) // 5000)])


def copy_features(model, learned):
    """Sets all weights of `model` but the logits' to those of `learned`, a model of the same config."""
    for layer, other in zip(model.layers, learned.layers, strict=True):
        if layer.name != "logits":
            layer.set_weights(other.get_weights())


def freeze_batch_norm(model):
    """Lets every normalization layer keep its weights and its statistics, in training too; call before `compile`."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def split_by_depth(model):
    """Returns the trainable variables in parts: the head first, then the features in four parts, top to bottom.

    The head is everything after the layer `features`; each of the four parts has as many layers with weights, or one
    less.
    """
    places = [layer.name for layer in model.layers]
    last = places.index("features")
    head = [variable for layer in model.layers[last + 1 :] for variable in layer.trainable_variables]
    weighted = [layer for layer in model.layers[: last + 1] if layer.trainable_variables]
    bounds = [round(len(weighted) * part / PARTS) for part in range(PARTS, -1, -1)]
    parts = [head]
    for high, low in itertools.pairwise(bounds):
        parts.append([variable for layer in weighted[low:high] for variable in layer.trainable_variables])
    return parts


def average_views(model, views):
    """Returns a model of the same inputs whose logits are means over several views of each image.

    Args:
        model: images to logits.
        views: "one" for the model itself; "flip" for the image and its mirror image; "flip_shift" for these, and both
            shifted by a pixel up and left and down and right, the unshifted ones counting half (Jordan 2024,
            section 3.5).
    """
    if views == "one":
        return model
    images = keras.Input(model.input_shape[1:], name="images")
    logits = _flipped(model, images)
    if views == "flip_shift":
        height, width = model.input_shape[1:3]
        padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
        shifted = [_flipped(model, padded[:, :height, :width]), _flipped(model, padded[:, 2:, 2:])]
        logits = 0.5 * logits + 0.25 * (shifted[0] + shifted[1])
    return keras.Model(images, layers.Identity(dtype="float32", name="mean_logits")(logits), name=model.name)


def _flipped(model, images):
    return 0.5 * (model(images) + model(images[:, :, ::-1]))
