"""Airbench, a CIFAR-10 classifier that trains in seconds (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds")."""

import keras
import numpy as np
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization
from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.gelu import gelu


def make_airbench(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, channels), to `logits`, float32 (batch, classes).

    Section 3 of the paper: a frozen whitening convolution, whose weights `whiten` sets, then groups of convolution,
    pooling, normalization, GELU, convolution, normalization, GELU, and global max pooling. Convolutions have `Dirac`
    kernels initially; batch normalization has no scale, and a momentum of 0.6. Named layers: `features` (last feature
    map), `pooled` (its maxima) and `logits`.

    Args:
        config: an `AirbenchConfig`.
        input_shape: (height, width, channels); for images of about 32 pixels.
        classes: number of classes.
    """
    images = keras.Input(input_shape, name="images")
    patch_size = input_shape[-1] * config.whitening_size**2
    x = layers.Conv2D(2 * patch_size, config.whitening_size, trainable=False, name="whitening")(images)
    x = layers.Activation(gelu)(x)
    for group, filters in enumerate(config.filters):
        x = layers.MaxPooling2D()(_convolution(filters)(x))
        x = layers.Activation(gelu)(_batch_norm()(x))
        x = _batch_norm()(_convolution(filters)(x))
        x = layers.Activation(gelu, name="features" if group == len(config.filters) - 1 else None)(x)
    pooled = layers.GlobalMaxPooling2D(name="pooled")(x)
    initializer = keras.initializers.RandomNormal(stddev=1 / config.filters[-1])
    logits = layers.Dense(classes, use_bias=False, kernel_initializer=initializer, dtype="float32", name="logits")(
        pooled
    )
    return keras.Model(images, logits, name="airbench")


def whiten(model, images):
    """Sets the weights of the whitening convolution, so that its outputs on `images` are uncorrelated.

    The filters are the eigenvectors of the covariance matrix of image patches, each divided by the square root of its
    eigenvalue, and their negatives, because GELU suppresses negative values; the bias subtracts the mean (section 3.2).

    Args:
        model: the model from `make_airbench`.
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
    # The paper's epsilon of 5e-4 is for pixels of unit variance.
    filters = eigenvectors / np.sqrt(eigenvalues + 5e-4 * pixels.var() + 1e-12)
    filters = np.concatenate([filters, -filters], axis=1)
    layer.set_weights([filters.reshape(layer.kernel.shape), -mean @ filters])


class Dirac(keras.initializers.Initializer):
    """Initializes kernels (height, width, inputs, outputs) to the identity, and further outputs uniformly at random.

    Section 3.3 of the paper. The random values are Kaiming uniform with a = sqrt(5), which are in
    [-bound, bound] for bound = 1 / sqrt(inputs * height * width).
    """

    def __call__(self, shape, dtype=None):
        height, width, inputs, outputs = shape
        bound = (inputs * height * width) ** -0.5
        kernel = np.array(keras.random.uniform(shape, -bound, bound))
        count = min(inputs, outputs)
        kernel[..., :count] = 0
        kernel[height // 2, width // 2, np.arange(count), np.arange(count)] = 1
        return keras.ops.convert_to_tensor(kernel, dtype)


def _convolution(filters):
    return Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=Dirac())


def _batch_norm():
    return BatchNormalization(scale=False, momentum=0.6, epsilon=1e-5)
