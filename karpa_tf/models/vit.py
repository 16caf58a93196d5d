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
    config.require_size(*input_shape[:2])
    images = keras.Input(input_shape, name="images")
    patches = Conv2D(
        config.hidden_dim,
        config.patch_size,
        config.patch_size,
        kernel_initializer=make_initializer(config.hidden_dim),
        name="patches",
    )(images)
    rows, columns = patches.shape[1:3]
    x = layers.Reshape((rows * columns, config.hidden_dim))(patches)
    positions = keras_hub.layers.PositionEmbedding(
        rows * columns, make_initializer(config.hidden_dim), name="position_embedding"
    )
    x = Dropout(config.dropout)(layers.Add()([x, positions(x)]))
    for index in range(config.num_layers):
        skip_rate = config.stochastic_depth * index / max(config.num_layers - 1, 1)
        x = transformer_layer(x, None, config, f"transformer_layer_{index}", skip_rate)
    x = make_layer_norm(config, "final_layer_norm")(x)
    features = layers.Reshape((rows, columns, config.hidden_dim), name="features")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(features)
    logits = layers.Dense(
        classes, kernel_initializer=make_initializer(config.hidden_dim), dtype="float32", name="logits"
    )(pooled)
    return keras.Model(images, logits, name="vit")
