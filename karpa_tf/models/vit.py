"""Vision transformers (Dosovitskiy et al. 2020)."""

import keras
import keras_hub
from keras import layers

from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.dropout import Dropout
from karpa_tf.layers.initializers import make_initializer
from karpa_tf.models.transformer import make_layer_norm, transformer_layer


def make_vit(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    The head sees the mean over all patches (Beyer et al. 2022, "Better plain ViT baselines") instead of a class token.
    Named layers: `features`, the patches as a feature map, (batch, rows, columns, hidden_dim); `pooled`, its mean; and
    `logits`.

    Args:
        config: a `ViTConfig`.
        input_shape: (height, width, channels).
        classes: number of classes.

    Raises:
        UserError: the patches do not fill the image.
    """
    images = keras.Input(input_shape, name="images")
    pooled = _pool(encode_patches(embed_patches(images, config), config), config, input_shape)
    logits = layers.Dense(
        classes, kernel_initializer=make_initializer(config.hidden_dim), dtype="float32", name="logits"
    )(pooled)
    return keras.Model(images, logits, name="vit")


def make_vit_encoder(config, input_shape):
    """Returns the model of `make_vit` without its head: `images` to `pooled`, float (batch, hidden_dim)."""
    images = keras.Input(input_shape, name="images")
    pooled = _pool(encode_patches(embed_patches(images, config), config), config, input_shape)
    return keras.Model(images, pooled, name="vit_encoder")


def embed_patches(images, config):
    """Returns the patches of images with their positions in a functional graph, float (batch, patches, hidden_dim).

    Patches are in rows, from the top left.

    Args:
        images: float (batch, height, width, channels).
        config: a `ViTConfig`.

    Raises:
        UserError: the patches do not fill the image.
    """
    config.require_size(*images.shape[1:3])
    patches = Conv2D(
        config.hidden_dim,
        config.patch_size,
        config.patch_size,
        kernel_initializer=make_initializer(config.hidden_dim),
        name="patches",
    )(images)
    count = config.count_patches(*images.shape[1:3])
    patches = layers.Reshape((count, config.hidden_dim))(patches)
    positions = keras_hub.layers.PositionEmbedding(
        count, make_initializer(config.hidden_dim), name="position_embedding"
    )
    return layers.Add()([patches, positions(patches)])


def encode_patches(x, config, mask=None):
    """Returns the output of all Transformer layers in a functional graph, float (batch, patches, hidden_dim).

    Args:
        x: float (batch, patches, hidden_dim), any of the patches of `embed_patches`.
        config: a `ViTConfig`.
        mask: bool (batch, patches), False for patches that no other may see; None shows all.
    """
    x = Dropout(config.dropout)(x)
    for index in range(config.num_layers):
        skip_rate = config.stochastic_depth * index / max(config.num_layers - 1, 1)
        x = transformer_layer(x, mask, config, f"transformer_layer_{index}", skip_rate)
    return make_layer_norm(config, "final_layer_norm")(x)


def _pool(x, config, input_shape):
    rows, columns = (size // config.patch_size for size in input_shape[:2])
    features = layers.Reshape((rows, columns, config.hidden_dim), name="features")(x)
    return layers.GlobalAveragePooling2D(name="pooled")(features)
