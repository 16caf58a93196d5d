"""Layers whose kernel is divided by its largest singular value (Miyato et al. 2018, "Spectral Normalization").

`keras.layers.SpectralNormalization` (3.12 to 3.15) overwrites the kernel that is trained by the normalized one, so that
no gradient passes through the norm, and cannot assign it on a replica of `MirroredStrategy`.
"""

import keras
import tensorflow as tf
from keras import ops

from karpa_tf.layers.convolution import Conv2D, PooledConv2D, UpsampledConv2D

EPSILON = 1e-12


class _SpectralNorm:
    """Mixin, before a layer with a `kernel`: `normalize_kernel` returns the kernel divided by its spectral norm.

    One power iteration per call (Miyato et al. 2018, algorithm 1). In training its vector is kept for the next call;
    all replicas compute the same one, because it depends on the kernel only.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.vector = self.add_weight(
            shape=(self.kernel.shape[-1],),
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
            autocast=False,
            name="vector",
        )

    def save_own_variables(self, store):
        # Keras' layers list their own variables (3.12 to 3.15).
        super().save_own_variables(store)
        store["vector"] = self.vector

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.vector.assign(store["vector"])

    def normalize_kernel(self, training):
        """Returns the normalized kernel in the compute dtype; the norm is computed in float32."""
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), tf.float32)
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))  # (height * width * inputs, outputs)
        constant = tf.stop_gradient(matrix)
        left = _normalize(tf.linalg.matvec(constant, tf.convert_to_tensor(self.vector)))
        right = _normalize(tf.linalg.matvec(constant, left, transpose_a=True))
        if training:
            self.vector.assign(right)
        norm = tf.tensordot(left, tf.linalg.matvec(matrix, right), 1)
        return tf.cast(kernel / tf.maximum(norm, EPSILON), self.compute_dtype)


@keras.saving.register_keras_serializable("karpa_tf")
class SpectralConv2D(_SpectralNorm, Conv2D):
    """`keras.layers.Conv2D` with spectral normalization of its kernel, reshaped to (-1, filters)."""

    def call(self, inputs, training=False):
        outputs = self.convolution_op(inputs, self.normalize_kernel(training))
        return self.activation(outputs + tf.cast(self.bias, outputs.dtype) if self.use_bias else outputs)


@keras.saving.register_keras_serializable("karpa_tf")
class SpectralUpsampledConv2D(SpectralConv2D, UpsampledConv2D):
    """`UpsampledConv2D` with spectral normalization of its 3x3 kernel."""


@keras.saving.register_keras_serializable("karpa_tf")
class SpectralPooledConv2D(SpectralConv2D, PooledConv2D):
    """`PooledConv2D` with spectral normalization of its 3x3 kernel."""


@keras.saving.register_keras_serializable("karpa_tf")
class SpectralDense(_SpectralNorm, keras.layers.Dense):
    """`keras.layers.Dense` with spectral normalization of its kernel."""

    def call(self, inputs, training=False):
        outputs = ops.matmul(inputs, self.normalize_kernel(training))
        return self.activation(outputs + tf.cast(self.bias, outputs.dtype) if self.use_bias else outputs)


@keras.saving.register_keras_serializable("karpa_tf")
class SpectralEmbedding(_SpectralNorm, keras.layers.Embedding):
    """`keras.layers.Embedding` with spectral normalization of its table, as in projection discriminators."""

    @property
    def kernel(self):
        """The table, (classes, dim)."""
        return self.embeddings

    def compute_output_spec(self, inputs, training=False):
        return super().compute_output_spec(inputs)

    def call(self, inputs, training=False):
        return tf.gather(self.normalize_kernel(training), tf.cast(inputs, tf.int32))


def _normalize(vector):
    return vector / tf.maximum(tf.norm(vector), EPSILON)
