"""A network for a high CIFAR-10 accuracy in little time (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds")."""

import keras
import numpy as np
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.gelu import gelu


def make_airbench(config, input_shape, classes):
    """Maps `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    Section 3 of the paper: a frozen convolution that `whiten` fills, then groups of convolution, pooling,
    normalization, GELU, convolution, normalization, GELU. Convolutions start as the identity on as many channels as
    they take in; normalization has no gain and forgets fast; of the last map the largest values are read. The layers
    `features` (last feature map), `pooled` and `logits` are named.

    Args:
        config: a `AirbenchConfig`.
        input_shape: (height, width, channels); for images of about 32 pixels.
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    directions = input_shape[-1] * config.whitening_size**2
    x = layers.Conv2D(2 * directions, config.whitening_size, trainable=False, name="whitening")(images)
    x = layers.Activation(gelu)(x)
    for group, width in enumerate(config.filters):
        x = layers.MaxPooling2D()(_convolution(width)(x))
        x = layers.Activation(gelu)(_batch_norm()(x))
        x = _batch_norm()(_convolution(width)(x))
        x = layers.Activation(gelu, name="features" if group == len(config.filters) - 1 else None)(x)
    pooled = layers.GlobalMaxPooling2D(name="pooled")(x)
    small = keras.initializers.RandomNormal(stddev=1 / config.filters[-1])
    logits = layers.Dense(classes, use_bias=False, kernel_initializer=small, dtype="float32", name="logits")(pooled)
    return keras.Model(images, logits, name="airbench")


def whiten(model, images):
    """Sets the first layer of `make_airbench`'s model so that its outputs on such images are uncorrelated.

    Its filters are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue, and their
    opposites, since GELU passes one sign only; the bias takes off the mean (section 3.2).

    Args:
        model: what `make_airbench` returned.
        images: uint8 (n, height, width, channels), a few thousand training images.
    """
    layer = model.get_layer("whitening")
    size = layer.kernel_size[0]
    pixels = images.astype(np.float64) / 127.5 - 1
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * pixels.shape[-1])
    mean = patches.mean(0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches)
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    # The paper's floor of 5e-4 is for pixels of unit variance.
    filters = eigenvectors / np.sqrt(eigenvalues + 5e-4 * pixels.var() + 1e-12)
    filters = np.concatenate([filters, -filters], axis=1)
    layer.set_weights([filters.reshape(layer.kernel.shape), -mean @ filters])


class Dirac(keras.initializers.Initializer):
    """Initial kernels (height, width, inputs, outputs): the identity, and uniform noise for further outputs.

    Section 3.3; the noise is that of Kaiming with a = sqrt(5): up to 1 / sqrt(inputs * height * width).
    """

    def __call__(self, shape, dtype=None):
        height, width, inputs, outputs = shape
        bound = (inputs * height * width) ** -0.5
        kernel = np.array(keras.random.uniform(shape, -bound, bound))
        same = min(inputs, outputs)
        kernel[..., :same] = 0
        kernel[height // 2, width // 2, np.arange(same), np.arange(same)] = 1
        return keras.ops.convert_to_tensor(kernel, dtype)


def _convolution(width):
    return Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer=Dirac())


def _batch_norm():
    return BatchNormalization(scale=False, momentum=0.6, epsilon=1e-5)
