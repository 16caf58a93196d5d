"""Small convolutional classifiers, as in introductory tutorials."""

import keras
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.dropout import Dropout


def make_cnn(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    Named layers: `features` (last feature map), `pooled` (the same, flattened) and `logits`.

    Args:
        config: a `CNNConfig`.
        input_shape: (height, width, channels), with height and width of at least 2 ** len(config.filters).
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, filters in enumerate(config.filters):
        x = Conv2D(filters, config.kernel_size, padding="same", use_bias=not config.batch_norm)(x)
        if config.batch_norm:
            x = BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        is_last = stage == len(config.filters) - 1
        x = layers.MaxPooling2D(name="features" if is_last else None)(x)
    x = layers.Flatten(name="pooled")(x)
    for units in config.dense_units:
        x = layers.Dense(units, activation="relu")(x)
        if config.dropout:
            x = Dropout(config.dropout)(x)
    return keras.Model(images, layers.Dense(classes, dtype="float32", name="logits")(x), name="cnn")
