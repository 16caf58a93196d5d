"""Networks of `keras.applications` under a new head."""

import warnings

import keras
from keras import layers

from karpa_tf.configs.application import PIXELS
from karpa_tf.errors import UserError, first_line
from karpa_tf.layers.batch_norm import fuse_batch_norm
from karpa_tf.layers.dropout import Dropout

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STDDEV = (0.229, 0.224, 0.225)
BGR_MEAN = (103.939, 116.779, 123.68)
"""As the Caffe networks subtract it, in [0, 255]."""


def make_application(config, input_shape, classes):
    """Maps `images`, float32 (batch, height, width, 3) in [-1, 1], to `logits`, float32 (batch, classes).

    The network starts at random; `load_application` brings in what was learned. The layers `features` (last feature
    map), `pooled` (its mean) and `logits` are named.

    Args:
        config: an `ApplicationConfig`.
        input_shape: (height, width, 3); most networks want at least 32 pixels, some 75.
        classes: number of classes.
    """
    if input_shape[-1] != 3:
        raise UserError(f"{config.application} takes color images: --channels 3; received {input_shape[-1]}.")
    images = keras.Input(input_shape, name="images")
    try:
        base = _base(config, None, input_tensor=_pixels(images, config.application))
    except ValueError as error:  # Keras says which sides the network takes.
        raise UserError(f"{config.application} cannot be built for {input_shape}: {error}") from error
    features = layers.Identity(name="features")(base.output)
    x = layers.GlobalAveragePooling2D(name="pooled")(features)
    x = Dropout(config.dropout)(x)
    return fuse_batch_norm(
        keras.Model(images, layers.Dense(classes, dtype="float32", name="logits")(x), name="application")
    )


def load_application(model, config, weights):
    """Sets the features of `make_application`'s model to learned weights.

    Args:
        model: what `make_application` returned.
        config: its `ApplicationConfig`.
        weights: a .weights.h5 file of the network without its head, or None for ImageNet's, from Keras' cache or the
            network.

    Raises:
        UserError: the weights cannot be read or downloaded.
    """
    try:
        learned = _base(config, None if weights else "imagenet", input_shape=model.input_shape[1:])
        if weights:
            learned.load_weights(weights)
    except Exception as error:  # Network, file, shapes: the way out is the same.
        where = weights or "Keras' download of ImageNet's weights"
        raise UserError(
            f"The weights of {config.application} cannot be had from {where} ({first_line(error)}); with no "
            "network, give a .weights.h5 file by --init-weights."
        ) from error
    head = {id(variable) for variable in model.get_layer("logits").weights}
    own = [variable for variable in model.weights if id(variable) not in head]
    for variable, value in zip(own, learned.weights, strict=True):
        variable.assign(value)


def _base(config, weights, **kwargs):
    factory = getattr(keras.applications, config.application)
    extra = {"include_preprocessing": True} if config.application.startswith(("MobileNetV3", "EfficientNetV2")) else {}
    with warnings.catch_warnings():
        # MobileNetV2 says that for other sides than its five it takes the weights of 224, which are as good.
        warnings.filterwarnings("ignore", ".*input_shape.*")
        return factory(include_top=False, weights=weights, **extra, **kwargs)


def _pixels(images, application):
    """Returns [-1, 1] brought to what the network was trained on."""
    kind = next(kind for kind, names in PIXELS.items() if application in names)
    if kind == "symmetric":
        return images
    if kind == "unchanged":
        return layers.Rescaling(127.5, 127.5)(images)
    if kind == "centered_bgr":
        return layers.Rescaling(127.5, [127.5 - mean for mean in BGR_MEAN])(images[..., ::-1])
    return layers.Rescaling(
        [0.5 / stddev for stddev in IMAGENET_STDDEV],
        [(0.5 - mean) / stddev for mean, stddev in zip(IMAGENET_MEAN, IMAGENET_STDDEV, strict=True)],
    )(images)
