"""VGG networks (Simonyan and Zisserman 2014), with optional batch normalization."""

import keras
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.dropout import Dropout


def make_vgg(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    Named layers: `features` (last feature map), `pooled` (the same, flattened) and `logits`.

    Args:
        config: a `VGGConfig`.
        input_shape: (height, width, channels), with height and width of at least 2 ** len(config.filters).
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, (count, filters) in enumerate(zip(config.convolutions, config.filters, strict=True)):
        for _ in range(count):
            x = Conv2D(filters, 3, padding="same", use_bias=not config.batch_norm, kernel_initializer="he_normal")(x)
            if config.batch_norm:
                x = BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
            x = layers.ReLU()(x)
        is_last = stage == len(config.filters) - 1
        x = layers.MaxPooling2D(name="features" if is_last else None)(x)
    x = layers.Flatten(name="pooled")(x)
    for units in config.dense_units:
        x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
        x = Dropout(config.dropout)(x)
    return keras.Model(images, layers.Dense(classes, dtype="float32", name="logits")(x), name="vgg")
