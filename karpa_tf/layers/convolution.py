"""Convolutions whose kernel gradient is one matrix product where feature maps are small.

On CPUs, in bfloat16, the kernel gradient of TensorFlow 2.21 runs at a third of the speed of a matrix product where a
feature map has few positions: next to the noise and the logit of a DCGAN, and in the last stage of a ResNet-18.
"""

import functools

import keras
import tensorflow as tf
from keras import ops

from karpa_tf.keras_compat import flatten_layers

MAX_POSITIONS = 16
"""Positions of the smaller feature map, 4x4, up to which the matrix product is faster; at 64 it is not."""


@keras.saving.register_keras_serializable("karpa_tf")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a faster kernel gradient for small feature maps in bfloat16 on CPUs.

    It has the arguments, weights, names and results (the gradient up to rounding) of Keras' layer.
    """

    def convolution_op(self, inputs, kernel):
        if not _can_be_faster(self, inputs) or not _is_small(self.compute_output_shape(inputs.shape)):
            return super().convolution_op(inputs, kernel)
        return _convolve(
            tf.cast(inputs, self.compute_dtype), tf.convert_to_tensor(kernel), self.strides, self.padding.upper()
        )


@keras.saving.register_keras_serializable("karpa_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with a faster kernel gradient, like `Conv2D`."""

    def call(self, inputs):
        if not _can_be_faster(self, inputs) or not _is_small(inputs.shape) or self.output_padding is not None:
            return super().call(inputs)
        output_shape = self.compute_output_shape(inputs.shape)
        outputs = _convolve_transposed(
            tf.cast(inputs, self.compute_dtype),
            tf.convert_to_tensor(self.kernel),
            output_shape[1:],
            self.strides,
            self.padding.upper(),
        )
        if self.use_bias:
            outputs = ops.add(outputs, ops.reshape(self.bias, (1, 1, 1, -1)))
        return self.activation(outputs)


@keras.saving.register_keras_serializable("karpa_tf")
class UpsampledConv2D(Conv2D):
    """A convolution of a feature map whose height and width are doubled first by repetition, at 4/9 of its cost.

    Maps float (batch, height, width, channels) to (batch, 2 height, 2 width, filters). What `UpSampling2D` and a
    `Conv2D` with a 3x3 kernel and padding "same" compute, up to rounding, is one transposed convolution with a 4x4
    kernel, the sum of four shifted copies of the 3x3 one (Karras et al. 2018, "Progressive Growing of GANs", appendix).
    """

    def build(self, input_shape):
        _require_plain(self)
        super().build(input_shape)

    def convolution_op(self, inputs, kernel):
        inputs, kernel = tf.cast(inputs, self.compute_dtype), _widen(kernel)
        # A transposed convolution flips its kernel.
        kernel = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
        shape = self.compute_output_shape(inputs.shape)[1:]
        if _can_be_faster(self, inputs) and _is_small(inputs.shape):
            return _convolve_transposed(inputs, kernel, shape, (2, 2), "SAME")
        return _plain_transposed(inputs, kernel, shape, (2, 2), "SAME")

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, 2 * height, 2 * width, self.filters


@keras.saving.register_keras_serializable("karpa_tf")
class PooledConv2D(Conv2D):
    """A convolution whose outputs are averaged over 2x2 positions, at 4/9 of its cost.

    Maps float (batch, height, width, channels), of even height and width, to (batch, height / 2, width / 2, filters).
    What a `Conv2D` with a 3x3 kernel and padding "same" and `AveragePooling2D` compute, up to rounding, is one
    convolution of stride 2, see `UpsampledConv2D`.
    """

    def build(self, input_shape):
        _require_plain(self)
        if any(size and size % 2 for size in input_shape[1:3]):
            raise ValueError(f"The feature map must have an even height and width. Received: {input_shape}.")
        super().build(input_shape)

    def convolution_op(self, inputs, kernel):
        inputs, kernel = tf.cast(inputs, self.compute_dtype), _widen(kernel) / 4
        is_fast = _can_be_faster(self, inputs) and _is_small(self.compute_output_shape(inputs.shape))
        return (_convolve if is_fast else tf.nn.conv2d)(inputs, kernel, (2, 2), "SAME")

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, height // 2, width // 2, self.filters


def _require_plain(layer):
    """Raises `ValueError` unless a layer is one of a 3x3 kernel whose outputs would be of the size of its inputs."""
    values = layer.kernel_size, layer.strides, layer.dilation_rate, layer.groups, layer.padding, layer.data_format
    if values != ((3, 3), (1, 1), (1, 1), 1, "same", "channels_last"):
        raise ValueError(
            f"{type(layer).__name__} has a 3x3 kernel, padding 'same', and no strides, dilation or groups. "
            f"Received: {values}."
        )


def _widen(kernel):
    """Returns the sum of a kernel's four shifted copies, (height + 1, width + 1, c, d)."""
    kernel = tf.convert_to_tensor(kernel)
    for axis in (0, 1):
        before, after = ([shift if i == axis else (0, 0) for i in range(4)] for shift in ((1, 0), (0, 1)))
        kernel = tf.pad(kernel, before) + tf.pad(kernel, after)
    return kernel


def _convolve(x, kernel, strides, padding):
    """Returns `tf.nn.conv2d`, whose kernel gradient is one matrix product."""

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            x_gradient = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(x), strides, padding)
            return x_gradient, _kernel_gradient(x, upstream, kernel, strides, padding)

        return tf.nn.conv2d(x, kernel, strides, padding), gradients

    return convolve(x, kernel)


def _convolve_transposed(x, kernel, shape, strides, padding):
    """Returns `_plain_transposed`, whose kernel gradient is one matrix product."""

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(upstream):
            x_gradient = tf.nn.conv2d(upstream, kernel, strides, padding)
            return x_gradient, _kernel_gradient(upstream, x, kernel, strides, padding)

        return _plain_transposed(x, kernel, shape, strides, padding), gradients

    return convolve(x, kernel)


def _plain_transposed(x, kernel, shape, strides, padding):
    """Returns `tf.nn.conv2d_transpose` to (batch, *shape)."""
    return tf.nn.conv2d_transpose(x, kernel, tf.concat([tf.shape(x)[:1], shape], axis=0), strides, padding)


def _can_be_faster(layer, inputs):
    """Returns whether the matrix product is faster than TensorFlow's gradient if the smaller feature map is small."""
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
    return shape[1] * shape[2] <= MAX_POSITIONS


def _kernel_gradient(larger, smaller, kernel, strides, padding):
    """Returns the kernel gradient (height, width, c, d) by im2col (Chellapilla et al. 2006).

    Args:
        larger: (batch, H, W, c), the input of a convolution, or the output gradient of a transposed one.
        smaller: (batch, h, w, d), the output gradient of a convolution, or the input of a transposed one.
        kernel: the kernel, (height, width, c, d).
        strides: (vertical, horizontal).
        padding: "SAME" or "VALID".
    """
    height, width, channels, filters = kernel.shape
    patches = tf.image.extract_patches(larger, [1, height, width, 1], [1, *strides, 1], [1, 1, 1, 1], padding)
    rows = tf.reshape(patches, (-1, height * width * channels))
    return tf.reshape(tf.matmul(rows, tf.reshape(smaller, (-1, filters)), transpose_a=True), kernel.shape)


def run_without_xla(model):
    """Lets the convolutions with groups of a model, also those within its layers, compute by `convolve_groups`."""
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1:
            layer.convolution_op = functools.partial(convolve_groups, layer)


def convolve_groups(layer, inputs, kernel):
    """Returns what `convolution_op` of a `keras.layers.Conv2D` with groups does, without XLA.

    Keras 3.15 compiles such convolutions with XLA, and graphs with that cannot be served (`export.operations`).

    Args:
        layer: a `keras.layers.Conv2D`, channels last.
        inputs: float (batch, height, width, channels).
        kernel: float (rows, columns, channels / groups, filters).
    """
    options = {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}
    if layer.groups == inputs.shape[-1]:
        multiplier = kernel.shape[-1] // layer.groups
        kernel = ops.reshape(kernel, (*kernel.shape[:2], layer.groups, multiplier))
        return ops.depthwise_conv(inputs, kernel, **options)
    parts = zip(ops.split(inputs, layer.groups, -1), ops.split(kernel, layer.groups, -1), strict=True)
    return ops.concatenate([ops.conv(part, weights, **options) for part, weights in parts], -1)
