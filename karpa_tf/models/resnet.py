"""Residual networks for 32x32 and 224x224 (He et al. 2015), and wide ones (Zagoruyko and Komodakis 2016)."""

import keras
from keras import layers, ops

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.dropout import Dropout


def make_resnet(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    The last batch normalization of every basic and bottleneck block has an initial scale of zero, so that the block is
    initially its shortcut (Goyal et al. 2017, section 5.1). Not so in wide blocks, where a ReLU follows it and would
    pass no gradient. In bottleneck blocks the 3x3 convolution has the stride. Named layers: `features` (last feature
    map), `pooled` (its mean) and `logits`.

    Args:
        config: a `ResNetConfig`.
        input_shape: (height, width, channels).
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    block = {"basic": _basic_block, "bottleneck": _bottleneck_block, "wide": _wide_block}[config.block]
    x = _stem(images, config)
    for stage, (count, filters) in enumerate(zip(config.blocks, config.filters, strict=True)):
        for index in range(count):
            x = block(x, filters, 2 if stage and not index else 1, config)
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
    # Wide blocks normalize their input themselves; their stem has 16 filters at any widening factor.
    if config.block == "wide":
        return _convolution(16)(x)
    return layers.ReLU()(_batch_norm()(_convolution(config.filters[0])(x)))


def _basic_block(x, filters, stride, config):
    y = layers.ReLU()(_batch_norm()(_convolution(filters, 3, stride)(x)))
    y = _batch_norm(zero_init=True)(_convolution(filters)(y))
    return layers.ReLU()(layers.Add()([_shortcut(x, filters, stride, config), y]))


def _bottleneck_block(x, filters, stride, config):
    y = layers.ReLU()(_batch_norm()(_convolution(filters, 1)(x)))
    y = layers.ReLU()(_batch_norm()(_convolution(filters, 3, stride)(y)))
    y = _batch_norm(zero_init=True)(_convolution(4 * filters, 1)(y))
    return layers.ReLU()(layers.Add()([_shortcut(x, 4 * filters, stride, config), y]))


def _wide_block(x, filters, stride, config):
    """Applies batch normalization and ReLU before each convolution, and before the projection too."""
    y = layers.ReLU()(_batch_norm()(x))
    shortcut = x if x.shape[-1] == filters and stride == 1 else _convolution(filters, 1, stride)(y)
    y = layers.ReLU()(_batch_norm()(_convolution(filters, 3, stride)(y)))
    if config.dropout:
        y = Dropout(config.dropout)(y)
    return layers.Add()([shortcut, _convolution(filters)(y)])


def _shortcut(x, filters, stride, config):
    if x.shape[-1] == filters and stride == 1:
        return x
    if config.shortcut == "projection":
        return _batch_norm()(_convolution(filters, 1, stride)(x))
    extra = filters - x.shape[-1]
    # Subsampling by pooling: its kernel and gradient are many times as fast as those of a strided slice.
    x = layers.AveragePooling2D(1, strides=stride)(x)
    return ops.pad(x, [[0, 0], [0, 0], [0, 0], [extra // 2, extra - extra // 2]])


def _convolution(filters, kernel_size=3, stride=1):
    return Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
    )


def _batch_norm(zero_init=False):
    return BatchNormalization(gamma_initializer="zeros" if zero_init else "ones", momentum=0.9, epsilon=1e-5)
