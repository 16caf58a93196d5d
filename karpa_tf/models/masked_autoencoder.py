"""Masked autoencoders of images (He et al. 2021): an encoder of the visible patches, and a decoder that draws the rest.

The encoder is that of `models.vit`, with the same names of layers, so that a classifier can take over its weights.
"""

import keras
from keras import layers, ops

from karpa_tf.layers.embeddings import Bias
from karpa_tf.layers.initializers import make_initializer
from karpa_tf.models.transformer import make_layer_norm, transformer_layer
from karpa_tf.models.vit import embed_patches, encode_patches


def make_masked_autoencoder(config, decoder, input_shape, num_masked):
    """Returns a model of images and positions to `pixels`, float32 (batch, num_masked, patch_size² * channels).

    The encoder sees the visible patches only, which saves most of its time (ibid., section 3). Inputs, a dict:

    - images: float32 (batch, height, width, channels) in [-1, 1].
    - visible: int32 (batch, patches - num_masked), which patches are visible, numbered in rows from the top left.
    - masked: int32 (batch, num_masked), all others.

    Args:
        config: a `ViTConfig`.
        decoder: a `DecoderConfig`.
        input_shape: (height, width, channels).
        num_masked: number of masked patches of every image.
    """
    count = config.count_patches(*input_shape[:2])
    images = keras.Input(input_shape, name="images")
    visible = keras.Input((count - num_masked,), dtype="int32", name="visible")
    masked = keras.Input((num_masked,), dtype="int32", name="masked")
    patches = embed_patches(images, config)
    shown = ops.take_along_axis(patches, ops.expand_dims(visible, -1), axis=1)
    x = _embed_for_decoder(encode_patches(shown, config), decoder)
    positions = _make_positions(count, decoder)
    x = layers.Concatenate(axis=1)(
        [layers.Add()([x, positions(visible)]), Bias(name="mask_embedding")(positions(masked))]
    )
    x = _decode(x, config, decoder, input_shape[-1])[:, count - num_masked :]
    inputs = {"images": images, "visible": visible, "masked": masked}
    return keras.Model(inputs, layers.Identity(dtype="float32", name="pixels")(x), name="masked_autoencoder")


def make_reconstructor(config, decoder, input_shape):
    """Returns a model of images and masks to `pixels`, float32 (batch, patches, patch_size² * channels).

    The same network with the same names of layers, for any number of masked patches: the encoder computes all patches,
    but none attends to a masked one. Inputs, a dict: `images`, as for `make_masked_autoencoder`, and `mask`, bool
    (batch, patches), True for masked patches. An image without a visible patch has no meaningful result.
    """
    count = config.count_patches(*input_shape[:2])
    images = keras.Input(input_shape, name="images")
    mask = keras.Input((count,), dtype="bool", name="mask")
    patches = embed_patches(images, config)
    encoded = _embed_for_decoder(encode_patches(patches, config, ops.logical_not(mask)), decoder)
    numbers = ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=1) - 1  # (batch, patches): 0, 1, 2, ...
    positions = _make_positions(count, decoder)(numbers)
    shown = layers.Add()([encoded, positions])
    x = ops.where(ops.expand_dims(mask, -1), Bias(name="mask_embedding")(positions), shown)
    x = _decode(x, config, decoder, input_shape[-1])
    return keras.Model(
        {"images": images, "mask": mask}, layers.Identity(dtype="float32", name="pixels")(x), name="reconstructor"
    )


def _embed_for_decoder(x, decoder):
    return layers.Dense(
        decoder.decoder_dim, kernel_initializer=make_initializer(decoder.decoder_dim), name="decoder_embedding"
    )(x)


def _make_positions(count, decoder):
    initializer = make_initializer(decoder.decoder_dim)
    return layers.Embedding(count, decoder.decoder_dim, initializer, name="decoder_position_embedding")


def _decode(x, config, decoder, channels):
    transformer = decoder.transformer
    for index in range(transformer.num_layers):
        x = transformer_layer(x, None, transformer, f"decoder_layer_{index}")
    x = make_layer_norm(transformer, "decoder_layer_norm")(x)
    units = config.patch_size**2 * channels
    return layers.Dense(units, kernel_initializer=make_initializer(decoder.decoder_dim), name="decoder_pixels")(x)
