"""DCGAN (Radford, Metz and Chintala 2015): the generator and the discriminator, conditional ones too."""

import keras
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D, Conv2DTranspose
from karpa_tf.layers.dropout import Dropout


def make_generator(config, num_classes=0):
    """Returns a model of `noise`, float32 (batch, latent_dim), to `images` in [-1, 1].

    The images are float32 (batch, image_size, image_size, channels). A dense layer produces the first feature map,
    (base_size, base_size, filters[0]); transposed convolutions of stride 2 produce those of the other `filters`, and a
    last one the image. Every layer but the last is followed by batch normalization (Radford et al. 2015, section 3).

    Args:
        config: a `DCGANConfig`.
        num_classes: if above 0, the inputs are [`noise`, `labels`], the latter int32 (batch,), and an embedding of the
            label is concatenated to the noise (Mirza and Osindero 2014).
    """
    noise = keras.Input((config.latent_dim,), name="noise")
    inputs, x = noise, noise
    if num_classes:
        labels = keras.Input((), dtype="int32", name="labels")
        embedded = layers.Embedding(num_classes, config.latent_dim)(labels)
        inputs, x = [noise, labels], layers.Concatenate()([noise, embedded])
    x = layers.Dense(
        config.base_size * config.base_size * config.filters[0], use_bias=False, kernel_initializer=_initializer(config)
    )(x)
    x = layers.Reshape((config.base_size, config.base_size, config.filters[0]))(x)
    x = _normalize_and_activate(x, config, config.generator_negative_slope)
    for filters in config.filters[1:]:
        x = _upsample(config, filters, use_bias=False)(x)
        x = _normalize_and_activate(x, config, config.generator_negative_slope)
    x = _upsample(config, config.channels, use_bias=True)(x)
    # Pixels are float32 under mixed precision too, like those of the data.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(inputs, images, name="generator")


def make_discriminator(config, num_classes=0):
    """Returns a model of `images` in [-1, 1] to `logits`, float32 (batch, 1), high for real images.

    The images are float32 (batch, image_size, image_size, channels). Convolutions of stride 2 with LeakyReLU and
    dropout are followed by a dense layer. With `discriminator_batch_norm`, every convolution but the first is followed
    by batch normalization, as in the paper.

    Args:
        config: a `DCGANConfig`.
        num_classes: if above 0, the inputs are [`images`, `labels`], the latter int32 (batch,), and a trained map of
            the label is concatenated to the image as a further channel.
    """
    size = config.image_size
    images = keras.Input((size, size, config.channels), name="images")
    inputs, x = images, images
    if num_classes:
        labels = keras.Input((), dtype="int32", name="labels")
        label_map = layers.Reshape((size, size, 1))(layers.Embedding(num_classes, size * size)(labels))
        inputs, x = [images, labels], layers.Concatenate()([images, label_map])
    for stage, filters in enumerate(config.discriminator_filters):
        has_batch_norm = config.discriminator_batch_norm and stage > 0
        x = Conv2D(
            filters,
            config.kernel_size,
            strides=2,
            padding="same",
            use_bias=not has_batch_norm,
            kernel_initializer=_initializer(config),
        )(x)
        if has_batch_norm:
            x = _batch_norm(config)(x)
        x = layers.LeakyReLU(config.discriminator_negative_slope)(x)
        if config.dropout:
            x = Dropout(config.dropout)(x)
    x = layers.Flatten()(x)
    logits = layers.Dense(1, kernel_initializer=_initializer(config), dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="discriminator")


def _upsample(config, filters, use_bias):
    """Returns a layer that doubles height and width."""
    return Conv2DTranspose(
        filters,
        config.kernel_size,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_initializer(config),
    )


def _normalize_and_activate(x, config, negative_slope):
    x = _batch_norm(config)(x)
    return layers.LeakyReLU(negative_slope)(x) if negative_slope else layers.ReLU()(x)


def _batch_norm(config):
    if config.init_stddev is None:
        return BatchNormalization()
    # As in the code of the authors: the scale has the same standard deviation as the weights, around one.
    return BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(1.0, config.init_stddev))


def _initializer(config):
    """Returns a new initializer; an unseeded Keras initializer that is used twice returns the same values twice."""
    if config.init_stddev is None:
        return keras.initializers.GlorotUniform()
    return keras.initializers.RandomNormal(0.0, config.init_stddev)
