"""DCGAN (Radford, Metz and Chintala 2015): a generator of transposed convolutions and its mirror, the discriminator."""

import keras
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D, Conv2DTranspose
from karpa_tf.layers.dropout import Dropout


def make_generator(config):
    """Maps `noise`, float32 (batch, latent_dim), to `images`, float32 (batch, side, side, channels) in [-1, 1].

    A Dense layer makes the first map of (base, base, filters[0]); each width is followed by a transposed convolution
    of stride 2, the last of which makes the image. Batch normalization follows every layer but the last
    (Radford et al. 2015, section 3).

    Args:
        config: a `DCGANConfig`.
    """
    noise = keras.Input((config.latent_dim,), name="noise")
    x = layers.Dense(
        config.base_size * config.base_size * config.filters[0], use_bias=False, kernel_initializer=_initializer(config)
    )(noise)
    x = layers.Reshape((config.base_size, config.base_size, config.filters[0]))(x)
    x = _normalize_and_activate(x, config, config.generator_negative_slope)
    for width in config.filters[1:]:
        x = _upsample(config, width, use_bias=False)(x)
        x = _normalize_and_activate(x, config, config.generator_negative_slope)
    x = _upsample(config, config.channels, use_bias=True)(x)
    # Pixels are compared with the data's: float32 under every precision.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(noise, images, name="generator")


def make_discriminator(config):
    """Maps `images`, float32 (batch, side, side, channels) in [-1, 1], to `logits`, float32 (batch, 1), high if real.

    Convolutions of stride 2 with LeakyReLU and dropout, flattened to one logit. With `discriminator_batch_norm` every
    convolution but the first is normalized, as in the paper.

    Args:
        config: a `DCGANConfig`.
    """
    images = keras.Input((config.image_size, config.image_size, config.channels), name="images")
    x = images
    for stage, width in enumerate(config.discriminator_filters):
        normalized = config.discriminator_batch_norm and stage > 0
        x = Conv2D(
            width,
            config.kernel_size,
            strides=2,
            padding="same",
            use_bias=not normalized,
            kernel_initializer=_initializer(config),
        )(x)
        if normalized:
            x = _batch_norm(config)(x)
        x = layers.LeakyReLU(config.discriminator_negative_slope)(x)
        if config.dropout:
            x = Dropout(config.dropout)(x)
    x = layers.Flatten()(x)
    logits = layers.Dense(1, kernel_initializer=_initializer(config), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="discriminator")


def _upsample(config, width, use_bias):
    """Doubles height and width."""
    return Conv2DTranspose(
        width,
        config.kernel_size,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_initializer(config),
    )


def _normalize_and_activate(x, config, slope):
    x = _batch_norm(config)(x)
    return layers.LeakyReLU(slope)(x) if slope else layers.ReLU()(x)


def _batch_norm(config):
    if config.init_stddev is None:
        return BatchNormalization()
    # The authors' released code draws the scale around one with the same deviation as the weights.
    return BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(1.0, config.init_stddev))


def _initializer(config):
    """A new one for every layer: an unseeded Keras initializer that is used twice gives the same values twice."""
    if config.init_stddev is None:
        return keras.initializers.GlorotUniform()
    return keras.initializers.RandomNormal(0.0, config.init_stddev)
