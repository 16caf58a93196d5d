"""Residual networks: He et al. 2015 for 32x32 and 224x224, and wide ones (Zagoruyko and Komodakis 2016)."""

import keras
from keras import layers, ops

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.dropout import Dropout


def make_resnet(config, input_shape, classes):
    """Maps `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    The last batch normalization of every basic and bottleneck block starts at zero, so that the block starts as its
    shortcut (Goyal et al. 2017, section 5.1); in a wide block a ReLU follows it, which would never wake up.
    Bottlenecks take their stride in the 3x3 convolution. The layers `features` (last feature map), `pooled` (its mean)
    and `logits` are named.

    Args:
        config: a `ResNetConfig`.
        input_shape: (height, width, channels).
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    block = {"basic": _basic_block, "bottleneck": _bottleneck_block, "wide": _wide_block}[config.block]
    x = _stem(images, config)
    for stage, (count, width) in enumerate(zip(config.blocks, config.filters, strict=True)):
        for i in range(count):
            x = block(x, width, 2 if stage and not i else 1, config)
    if config.block == "wide":
        x = _batch_norm()(x)
    x = layers.ReLU(name="features")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(pooled)
    return keras.Model(images, logits, name="resnet")


def _stem(x, config):
    if config.stem == "7x7":
        x = layers.ReLU()(_batch_norm()(_convolution(config.filters[0], 7, 2)(x)))
        return layers.MaxPooling2D(3, strides=2, padding="same")(x)
    # A wide block normalizes its own input; a small stem feeds it the bare convolution, of 16 channels at any width.
    if config.block == "wide":
        return _convolution(16)(x)
    return layers.ReLU()(_batch_norm()(_convolution(config.filters[0])(x)))


def _basic_block(x, width, stride, config):
    y = layers.ReLU()(_batch_norm()(_convolution(width, 3, stride)(x)))
    y = _batch_norm(zero=True)(_convolution(width)(y))
    return layers.ReLU()(layers.Add()([_shortcut(x, width, stride, config), y]))


def _bottleneck_block(x, width, stride, config):
    y = layers.ReLU()(_batch_norm()(_convolution(width, 1)(x)))
    y = layers.ReLU()(_batch_norm()(_convolution(width, 3, stride)(y)))
    y = _batch_norm(zero=True)(_convolution(4 * width, 1)(y))
    return layers.ReLU()(layers.Add()([_shortcut(x, 4 * width, stride, config), y]))


def _wide_block(x, width, stride, config):
    """Normalizes before each convolution; the projection, too, sees the normalized input."""
    y = layers.ReLU()(_batch_norm()(x))
    shortcut = x if x.shape[-1] == width and stride == 1 else _convolution(width, 1, stride)(y)
    y = layers.ReLU()(_batch_norm()(_convolution(width, 3, stride)(y)))
    if config.dropout:
        y = Dropout(config.dropout)(y)
    return layers.Add()([shortcut, _convolution(width)(y)])


def _shortcut(x, width, stride, config):
    if x.shape[-1] == width and stride == 1:
        return x
    if config.shortcut == "projection":
        return _batch_norm()(_convolution(width, 1, stride)(x))
    extra = width - x.shape[-1]
    # Every second pixel, by a kernel that is many times as fast as a slice with strides, and its gradient.
    x = layers.AveragePooling2D(1, strides=stride)(x)
    return ops.pad(x, [[0, 0], [0, 0], [0, 0], [extra // 2, extra - extra // 2]])


def _convolution(width, kernel_size=3, stride=1):
    return Conv2D(
        width,
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
    )


def _batch_norm(zero=False):
    return BatchNormalization(gamma_initializer="zeros" if zero else "ones", momentum=0.9, epsilon=1e-5)
