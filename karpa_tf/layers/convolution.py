"""Convolutions whose kernels learn by one matrix product where the maps are small.

In bfloat16, on CPUs, TensorFlow 2.21's own gradient of a kernel runs at a third of the speed of a matrix product where
few places of a map are left: in a DCGAN next to the noise and the logit, and in the last stage of a ResNet-18.
"""

import keras
import tensorflow as tf
from keras import ops

PLACES = 16
"""The product pays up to so many places, 4x4, in the smaller map; with 64 it takes as long or longer."""


@keras.saving.register_keras_serializable("karpa_tf")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a faster gradient of its kernel, where there is one: bfloat16, small maps, CPUs.

    Same arguments, weights, names and results (the gradient to rounding) as Keras'.
    """

    def convolution_op(self, inputs, kernel):
        if not _may_be_faster(self, inputs) or not _is_small(self.compute_output_shape(inputs.shape)):
            return super().convolution_op(inputs, kernel)
        strides, padding = self.strides, self.padding.upper()

        @tf.custom_gradient
        def convolved(x, kernel):
            def gradients(upstream):
                x_gradient = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(x), strides, padding)
                return x_gradient, _kernel_gradient(x, upstream, kernel, strides, padding)

            return tf.nn.conv2d(x, kernel, strides, padding), gradients

        return convolved(tf.cast(inputs, self.compute_dtype), tf.convert_to_tensor(kernel))


@keras.saving.register_keras_serializable("karpa_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with a faster gradient of its kernel, as `Conv2D`."""

    def call(self, inputs):
        if not _may_be_faster(self, inputs) or not _is_small(inputs.shape) or self.output_padding is not None:
            return super().call(inputs)
        output_shape = self.compute_output_shape(inputs.shape)
        strides, padding = self.strides, self.padding.upper()

        @tf.custom_gradient
        def convolved(x, kernel):
            def gradients(upstream):
                x_gradient = tf.nn.conv2d(upstream, kernel, strides, padding)
                return x_gradient, _kernel_gradient(upstream, x, kernel, strides, padding)

            shape = tf.concat([tf.shape(x)[:1], output_shape[1:]], axis=0)
            return tf.nn.conv2d_transpose(x, kernel, shape, strides, padding), gradients

        outputs = convolved(tf.cast(inputs, self.compute_dtype), tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1)))
        return self.activation(outputs)


def _may_be_faster(layer, inputs):
    """Returns whether the product beats TensorFlow's own gradient where the smaller map is small."""
    return (
        layer.compute_dtype == "bfloat16"
        and layer.data_format == "channels_last"
        and layer.kernel_size != (1, 1)
        and layer.dilation_rate == (1, 1)
        and getattr(layer, "groups", 1) == 1
        and None not in inputs.shape[1:]
        and all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
    )


def _is_small(shape):
    return shape[1] * shape[2] <= PLACES


def _kernel_gradient(larger, smaller, kernel, strides, padding):
    """Returns the gradient of a kernel by im2col (Chellapilla et al. 2006): of its shape, (height, width, c, d).

    Args:
        larger: what the kernel is moved over, (batch, H, W, c); the output of a transposed convolution.
        smaller: (batch, h, w, d), with a place for each step of the kernel.
        kernel: what learns.
        strides: (vertical, horizontal).
        padding: "SAME" or "VALID".
    """
    height, width, channels, others = kernel.shape
    patches = tf.image.extract_patches(larger, [1, height, width, 1], [1, *strides, 1], [1, 1, 1, 1], padding)
    rows = tf.reshape(patches, (-1, height * width * channels))
    return tf.reshape(tf.matmul(rows, tf.reshape(smaller, (-1, others)), transpose_a=True), kernel.shape)
