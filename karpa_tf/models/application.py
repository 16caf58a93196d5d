"""Models of `keras.applications` with a new classification head."""

import re
import warnings

import keras
from keras import layers

from karpa_tf.configs.application import PIXELS
from karpa_tf.errors import UserError, first_line
from karpa_tf.layers.batch_norm import fuse_batch_norm
from karpa_tf.layers.convolution import run_without_xla
from karpa_tf.layers.dropout import Dropout

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STDDEV = (0.229, 0.224, 0.225)
BGR_MEAN = (103.939, 116.779, 123.68)
"""ImageNet's mean as subtracted for models converted from Caffe, in [0, 255]."""


def make_application(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, 3) in [-1, 1], to `logits`, float32 (batch, classes).

    Its weights are random; `load_application` sets pretrained ones. Named layers: `features` (last feature map),
    `pooled` (its mean) and `logits`.

    Args:
        config: an `ApplicationConfig`.
        input_shape: (height, width, 3); most models need at least 32x32, some 75x75.
        classes: number of classes.

    Raises:
        UserError: if the images are not RGB, or too small for the model.
    """
    if input_shape[-1] != 3:
        raise UserError(f"{config.application} takes color images: --channels 3; received {input_shape[-1]}.")
    images = keras.Input(input_shape, name="images")
    try:
        base = _make_base(config, None, input_tensor=preprocess(images, config.application))
    except ValueError as error:  # Keras says which image sizes the model takes.
        raise UserError(f"{config.application} cannot be built for {input_shape}: {error}") from error
    features = layers.Identity(name="features")(base.output)
    x = layers.GlobalAveragePooling2D(name="pooled")(features)
    x = Dropout(config.dropout)(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    model = fuse_batch_norm(keras.Model(images, logits, name="application"))
    run_without_xla(model)  # ConvNeXt's
    return model


def load_application(model, config, weights):
    """Sets all weights of a model but the head's to pretrained ones.

    Args:
        model: the model from `make_application`.
        config: its `ApplicationConfig`.
        weights: path of a .weights.h5 file for the model without its head, or None for the weights pretrained on
            ImageNet, which Keras downloads or takes from its cache.

    Raises:
        UserError: if the weights cannot be read or downloaded.
    """
    try:
        pretrained = _make_base(config, None if weights else "imagenet", input_shape=model.input_shape[1:])
        if weights:
            with warnings.catch_warnings():
                # For each layer without weights in a file that does not fit; an error follows.
                warnings.filterwarnings("ignore", "Skipping nested container.*")
                pretrained.load_weights(weights)
    except Exception as error:  # download, file or shapes
        name = config.application + (f" with --alpha {config.alpha}" if config.alpha != 1 else "")
        if not weights:
            raise UserError(
                f"Keras cannot download ImageNet's weights of {name} ({first_line(error)}); without network access, "
                "give a .weights.h5 file by --init-weights."
            ) from error
        raise UserError(
            f"--init-weights {weights} cannot be loaded into {name} ({_describe_mismatch(error)}); expected a "
            ".weights.h5 file of this network and width, see --init and --alpha."
        ) from error
    head = {id(variable) for variable in model.get_layer("logits").weights}
    features = [variable for variable in model.weights if id(variable) not in head]
    for variable, value in zip(features, pretrained.weights, strict=True):
        variable.assign(value)


def _describe_mismatch(error):
    """Returns which layer a file of weights does not fit, or else the first line of what an exception says."""
    layer = re.search(r"for object <\w+ name=([^,>]+)", str(error))
    shapes = re.search(r"variable\.shape=(\(.*?\)), Received: value\.shape=(\(.*?\))", str(error))
    if not (layer and shapes):
        return first_line(error)
    return f"its layer {layer[1]} has weights of shape {shapes[2]}, not {shapes[1]}"


def _make_base(config, weights, **kwargs):
    factory = getattr(keras.applications, config.application)
    has_preprocessing = config.application.startswith(("MobileNetV3", "EfficientNetV2"))
    options = {"include_preprocessing": True} if has_preprocessing else {}
    if config.application.startswith("MobileNet"):
        options["alpha"] = config.alpha
    with warnings.catch_warnings():
        # MobileNetV2 warns that it uses the weights for 224x224 at sizes without weights of their own.
        warnings.filterwarnings("ignore", ".*input_shape.*")
        return factory(include_top=False, weights=weights, **options, **kwargs)


def preprocess(images, application):
    """Returns images in the range that a model was trained on, from images in [-1, 1]."""
    pixels = next(pixels for pixels, names in PIXELS.items() if application in names)
    if pixels == "symmetric":
        return images
    if pixels == "unchanged":
        return layers.Rescaling(127.5, 127.5)(images)
    if pixels == "centered_bgr":
        return layers.Rescaling(127.5, [127.5 - mean for mean in BGR_MEAN])(images[..., ::-1])
    return layers.Rescaling(
        [0.5 / stddev for stddev in IMAGENET_STDDEV],
        [(0.5 - mean) / stddev for mean, stddev in zip(IMAGENET_MEAN, IMAGENET_STDDEV, strict=True)],
    )(images)
