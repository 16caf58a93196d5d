"""Outputs and gradients of a layer."""

import tensorflow as tf


def run_layer(layer, x, jit_compile=False):
    """Returns arrays: the output, and the gradients of the input and the weights of a loss that weights all outputs."""

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x), tf.float64)
            loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float64)), tf.shape(y)))
        return [y, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])]

    return [result.numpy() for result in step(tf.constant(x))]
