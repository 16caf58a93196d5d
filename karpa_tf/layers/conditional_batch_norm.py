"""Batch normalization with a scale and an offset for each class."""

import keras
import tensorflow as tf
from keras import layers

from karpa_tf.layers.batch_norm import BatchNormalization


@keras.saving.register_keras_serializable("karpa_tf")
class ConditionalBatchNormalization(layers.Layer):
    """Batch normalization whose scale and offset depend on the class (Dumoulin et al. 2017; Miyato and Koyama 2018).

    Maps float (batch, height, width, channels) and labels, int (batch,), to the shape of the former.

    Args:
        num_classes: number of classes.
        synchronized: compute the statistics over the global batch instead of over each replica's part.
    """

    def __init__(self, num_classes, synchronized=False, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.synchronized = num_classes, synchronized

    def build(self, inputs_shape, labels_shape):
        self.batch_norm = BatchNormalization(
            center=False, scale=False, synchronized=self.synchronized, dtype=self.dtype_policy, name="batch_norm"
        )
        self.batch_norm.build(inputs_shape)
        shape = (self.num_classes, inputs_shape[-1])
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs, labels, training=False):
        outputs, labels = self.batch_norm(inputs, training=training), tf.cast(labels, tf.int32)
        gamma, beta = (
            tf.cast(tf.gather(tf.convert_to_tensor(table), labels), outputs.dtype)[:, None, None]
            for table in (self.gamma, self.beta)
        )
        return outputs * gamma + beta

    def compute_output_shape(self, inputs_shape, labels_shape):
        return inputs_shape

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes, "synchronized": self.synchronized}
