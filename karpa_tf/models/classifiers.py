"""Image classifiers by family, and functions for all of them."""

import itertools
from pathlib import Path

import keras
from keras import layers, ops

from karpa_tf import keras_compat
from karpa_tf.models.airbench import make_airbench, whiten
from karpa_tf.models.application import make_application
from karpa_tf.models.backbone import make_backbone
from karpa_tf.models.cnn import make_cnn
from karpa_tf.models.resnet import make_resnet
from karpa_tf.models.vgg import make_vgg
from karpa_tf.models.vit import make_vit

FACTORIES = {
    "cnn": make_cnn,
    "vgg": make_vgg,
    "resnet": make_resnet,
    "airbench": make_airbench,
    "application": make_application,
    "vit": make_vit,
    "backbone": make_backbone,
}
"""Factory functions by `family`; each takes (config, input_shape, classes)."""

DATA_INITIALIZERS = {"airbench": whiten}
"""Functions by `family` that compute initial weights from training images; each takes (model, images)."""

FEATURE_GROUPS = 4
"""Parts of the features that may have different learning rates and may be unfrozen in different epochs."""


def make_classifier(config, input_shape, classes):
    """Returns a model of `images`, float32 `(batch, *input_shape)`, to `logits`, float32 (batch, classes)."""
    return FACTORIES[config.family](config, input_shape, classes)


def initialize_from_images(model, config, images):
    """Sets the initial weights that are computed from training images; most families have none.

    Args:
        model: the model from `make_classifier(config, ...)`.
        config: config of a classifier of any family.
        images: uint8 (n, height, width, channels), of which up to 5,000 are used, at equal intervals.
    """
    if config.family in DATA_INITIALIZERS:
        DATA_INITIALIZERS[config.family](model, images[:: -(-len(images) // 5000)])


def copy_features(model, pretrained):
    """Sets all weights of `model` but those of the logits to those of `pretrained`, a model of the same config."""
    for layer, pretrained_layer in zip(model.layers, pretrained.layers, strict=True):
        if layer.name != "logits":
            layer.set_weights(pretrained_layer.get_weights())


def extract_head(model):
    """Returns the model of `pooled` features to logits that a classifier ends with; its weights are shared."""
    return keras.Model(model.get_layer("pooled").output, model.output, name="head")


def freeze_batch_norm(model):
    """Freezes the weights and the moving averages of all batch normalization; call before `compile`."""
    for layer in keras_compat.flatten_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def split_by_depth(model):
    """Returns the trainable variables as five lists: the head, then four of the features, from top to bottom.

    The head is everything after the layer `features`. The numbers of layers with weights in the other lists differ by
    at most one; those within a model, such as a backbone of KerasHub, count too.
    """
    last = [layer.name for layer in model.layers].index("features")
    head = [variable for layer in model.layers[last + 1 :] for variable in layer.trainable_variables]
    weighted = [group for layer in model.layers[: last + 1] for group in _split_variables(layer) if group]
    bounds = [round(len(weighted) * group / FEATURE_GROUPS) for group in range(FEATURE_GROUPS, -1, -1)]
    groups = [head]
    for high, low in itertools.pairwise(bounds):
        groups.append([variable for layer in weighted[low:high] for variable in layer])
    return groups


def _split_variables(layer):
    """Returns the trainable variables of a layer as a list, or of a model as lists, one for each of its layers."""
    if not isinstance(layer, keras.Model):
        return [layer.trainable_variables]
    groups = itertools.groupby(layer.trainable_variables, lambda variable: Path(variable.path).parent)
    return [list(group) for _, group in groups]


def average_views(model, views):
    """Returns a model whose logits are averaged over several views of each image (test-time augmentation).

    Args:
        model: a model of images to logits.
        views: "one" returns `model`; "flip" averages the image and its mirror image; "flip_shift" averages these with
            a weight of one half, and the same two shifted by one pixel to the top left and to the bottom right with
            one quarter each (Jordan 2024, section 3.5).
    """
    if views == "one":
        return model
    images = keras.Input(model.input_shape[1:], name="images")
    logits = _average_flips(model, images)
    if views == "flip_shift":
        height, width = model.input_shape[1:3]
        padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
        shifted = [_average_flips(model, padded[:, :height, :width]), _average_flips(model, padded[:, 2:, 2:])]
        logits = 0.5 * logits + 0.25 * (shifted[0] + shifted[1])
    return keras.Model(images, layers.Identity(dtype="float32", name="mean_logits")(logits), name=model.name)


def _average_flips(model, images):
    return 0.5 * (model(images) + model(images[:, :, ::-1]))
