"""Residual generators and discriminators: WGAN-GP, SNGAN, SAGAN and projection discriminators."""

import keras
from keras import layers, ops

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.conditional_batch_norm import ConditionalBatchNormalization
from karpa_tf.layers.convolution import Conv2D, PooledConv2D, UpsampledConv2D
from karpa_tf.layers.image_attention import ImageAttention
from karpa_tf.layers.spectral_norm import (
    SpectralConv2D,
    SpectralDense,
    SpectralEmbedding,
    SpectralPooledConv2D,
    SpectralUpsampledConv2D,
)

_SPECTRAL = {Conv2D: SpectralConv2D, PooledConv2D: SpectralPooledConv2D, UpsampledConv2D: SpectralUpsampledConv2D}


def make_generator(config, num_classes=0):
    """Returns a model of `noise`, float32 (batch, latent_dim), to `images` in [-1, 1].

    A dense layer, a residual block for each of `filters`, which doubles the feature map, and a convolution (Gulrajani
    et al. 2017, appendix F). The images are float32 (batch, image_size, image_size, channels).

    Args:
        config: a `ResidualGANConfig`.
        num_classes: if above 0, the inputs are [`noise`, `labels`], the latter int32 (batch,), and batch normalization
            has a scale and an offset for each class (Miyato and Koyama 2018).
    """
    is_spectral = config.spectral_norm == "both"
    noise = keras.Input((config.latent_dim,), name="noise")
    labels = keras.Input((), dtype="int32", name="labels") if num_classes else None
    shape = (config.base_size, config.base_size, config.filters[0])
    x = _dense(shape[0] * shape[1] * shape[2], is_spectral)(noise)
    x = layers.Reshape(shape)(x)
    for filters in config.filters:
        x = _generator_block(x, labels, filters, num_classes, is_spectral)
        if x.shape[1] == config.attention_size:
            x = ImageAttention(is_spectral)(x)
    x = layers.ReLU()(BatchNormalization()(x))
    x = _convolution(config.channels, 3, is_spectral)(x)
    # Pixels are float32 under mixed precision too, like those of the data.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model([noise, labels] if num_classes else noise, images, name="generator")


def make_discriminator(config, num_classes=0):
    """Returns a model of `images` in [-1, 1] to `logits`, float32 (batch, 1), high for real images.

    A residual block for each of `discriminator_filters`, which halves the feature map as long as it is larger than
    twice `base_size`; the sum over all positions; and a dense layer (Miyato et al. 2018, appendix B.4). Without any
    batch normalization, so that every logit depends on its image only, as a gradient penalty presumes.

    Args:
        config: a `ResidualGANConfig`.
        num_classes: if above 0, the inputs are [`images`, `labels`], the latter int32 (batch,), and the product of the
            features with an embedding of the label is added to the logit (Miyato and Koyama 2018, equation 3).
    """
    is_spectral = config.spectral_norm != "none"
    size = config.image_size
    images = keras.Input((size, size, config.channels), name="images")
    x = images
    for index, filters in enumerate(config.discriminator_filters):
        is_halved = x.shape[1] > 2 * config.base_size
        x = _discriminator_block(x, filters, is_halved, is_spectral, is_first=not index)
        if is_halved and x.shape[1] == config.attention_size:
            x = ImageAttention(is_spectral)(x)
    features = ops.sum(ops.cast(layers.ReLU()(x), "float32"), axis=(1, 2))
    logits = _dense(1, is_spectral, dtype="float32", name="logits")(features)
    if not num_classes:
        return keras.Model(images, logits, name="discriminator")
    labels = keras.Input((), dtype="int32", name="labels")
    embedding = SpectralEmbedding if is_spectral else layers.Embedding
    embedded = embedding(num_classes, features.shape[-1], dtype="float32", name="class_embedding")(labels)
    logits = logits + ops.sum(embedded * features, axis=-1, keepdims=True)
    return keras.Model([images, labels], logits, name="discriminator")


def _generator_block(x, labels, filters, num_classes, is_spectral):
    y = layers.ReLU()(_normalize(x, labels, num_classes))
    y = _convolution(filters, 3, is_spectral, UpsampledConv2D)(y)
    y = layers.ReLU()(_normalize(y, labels, num_classes))
    y = _convolution(filters, 3, is_spectral)(y)
    # The same as a 1x1 convolution of the larger map, at a quarter of the cost.
    shortcut = layers.UpSampling2D()(_convolution(filters, 1, is_spectral)(x))
    return layers.Add()([shortcut, y])


def _discriminator_block(x, filters, is_halved, is_spectral, is_first):
    y = x if is_first else layers.ReLU()(x)
    y = _convolution(filters, 3, is_spectral)(y)
    y = _convolution(filters, 3, is_spectral, PooledConv2D if is_halved else Conv2D)(layers.ReLU()(y))
    shortcut = layers.AveragePooling2D(2)(x) if is_halved else x
    if is_halved or x.shape[-1] != filters:
        # After the pooling, with which a 1x1 convolution can be exchanged.
        shortcut = _convolution(filters, 1, is_spectral)(shortcut)
    return layers.Add()([shortcut, y])


def _normalize(x, labels, num_classes):
    return ConditionalBatchNormalization(num_classes)(x, labels) if num_classes else BatchNormalization()(x)


def _convolution(filters, kernel_size, is_spectral, layer=Conv2D):
    """Returns a convolution without strides; 3x3 kernels, those of residual branches, by He et al."""
    layer = _SPECTRAL[layer] if is_spectral else layer
    scale = 2.0 if kernel_size == 3 else 1.0
    initializer = keras.initializers.VarianceScaling(scale, "fan_avg", "uniform")
    return layer(filters, kernel_size, padding="same", kernel_initializer=initializer)


def _dense(units, is_spectral, **kwargs):
    return (SpectralDense if is_spectral else layers.Dense)(units, **kwargs)
