"""Augmentation of what a discriminator sees, through which the generator is trained too.

For small data sets, of which a discriminator would otherwise memorize every image. Random numbers are arguments, so
that a step depends on nothing but its batch and the weights.
"""

import keras
import tensorflow as tf
from keras import layers

UNIFORMS = 10
"""Random numbers per image: seven for the transformations, three for whether each kind is applied."""

TRANSLATION, CUTOUT = 1 / 8, 1 / 2
"""Largest shift, and side of the cut square, as fractions of the image size (Zhao et al. 2020, section 4.1)."""

TARGET = 0.6
"""Mean sign of the logits of real images that adaptive augmentation aims at (Karras et al. 2020, section 3.2)."""


@keras.saving.register_keras_serializable("karpa_tf")
class DifferentiableAugmentation(layers.Layer):
    """Random color, translation and cutout (Zhao et al. 2020, "DiffAugment").

    Maps images, float32 (batch, height, width, channels) in [-1, 1], and `uniform`, float32 (batch, UNIFORMS) in
    [0, 1), to images of the same shape, whose values may be outside of [-1, 1]. It computes in float32, as pixels and
    random numbers are given, under mixed precision too.
    """

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def call(self, images, uniform):
        color, shifts, cut, gates = tf.split(uniform, [3, 2, 2, 3], axis=-1)
        is_applied = [gate[:, None, None] for gate in tf.split(gates < self.probability(), 3, axis=-1)]
        kinds = (_recolor, _translate, _cut_out)
        for applied, augment, numbers in zip(is_applied, kinds, (color, shifts, cut), strict=True):
            images = tf.where(applied, augment(images, numbers), images)
        return images

    def probability(self):
        """Returns the probability with which each of the three kinds is applied, a scalar."""
        return tf.constant(1.0)

    def adapt(self, sign, count):
        """Does nothing; see `AdaptiveAugmentation`."""


@keras.saving.register_keras_serializable("karpa_tf")
class AdaptiveAugmentation(DifferentiableAugmentation):
    """The same with a probability that follows the discriminator (Karras et al. 2020, "ADA", section 3.2).

    The probability rises while the mean sign of the logits of real images is above `TARGET`, and falls while it is
    below. The paper has more kinds of augmentation.

    Args:
        images_to_one: number of real images in which the probability can go from 0 to 1.
    """

    def __init__(self, images_to_one=500_000, **kwargs):
        super().__init__(**kwargs)
        self.images_to_one = images_to_one
        self.p = self.add_weight(shape=(), initializer="zeros", trainable=False, autocast=False, name="probability")

    def probability(self):
        return tf.convert_to_tensor(self.p)

    def adapt(self, sign, count):
        """Moves the probability after an update of the discriminator.

        Args:
            sign: float32 scalar, sum of the signs of the logits of augmented real images over all replicas.
            count: float32 scalar, number of these images.
        """
        change = tf.sign(sign / count - TARGET) * count / self.images_to_one
        self.p.assign(tf.clip_by_value(self.p + change, 0.0, 1.0))

    def get_config(self):
        return super().get_config() | {"images_to_one": self.images_to_one}


AUGMENTATIONS = {"none": lambda: None, "diffaugment": DifferentiableAugmentation, "ada": AdaptiveAugmentation}
"""By --augment."""


def _recolor(images, uniform):
    """Changes brightness by up to 0.5, saturation by a factor of up to 2, and contrast by a factor of 0.5 to 1.5."""
    brightness, saturation, contrast = tf.split(uniform[:, None, None], 3, axis=-1)
    images = images + brightness - 0.5
    gray = tf.reduce_mean(images, -1, keepdims=True)
    images = gray + (images - gray) * 2 * saturation
    mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
    return mean + (images - mean) * (contrast + 0.5)


def _translate(images, uniform):
    """Shifts images by up to `TRANSLATION` of their size in both directions; what comes in is gray."""
    for axis in (1, 2):
        size = images.shape[axis]
        limit = int(size * TRANSLATION + 0.5)
        shift = tf.cast(tf.floor(uniform[:, axis - 1] * (2 * limit + 1)), tf.int32) - limit
        indices = tf.clip_by_value(tf.range(size) + shift[:, None] + 1, 0, size + 1)
        paddings = [[1, 1] if i == axis else [0, 0] for i in range(4)]
        images = tf.ensure_shape(tf.gather(tf.pad(images, paddings), indices, axis=axis, batch_dims=1), images.shape)
    return images


def _cut_out(images, uniform):
    """Sets a square of `CUTOUT` of the image size around a random pixel to gray."""
    _, height, width, _ = images.shape
    inside = []
    for axis, size in ((1, height), (2, width)):
        cut = int(size * CUTOUT + 0.5)
        start = tf.floor(uniform[:, axis - 1 : axis] * (size + 1 - cut % 2)) - cut // 2
        positions = tf.range(size, dtype=tf.float32)
        inside.append((positions >= start) & (positions < start + cut))
    is_cut = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(is_cut[..., None], tf.zeros_like(images), images)
