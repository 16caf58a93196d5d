import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.spectral_norm import SpectralConv2D, SpectralDense, SpectralEmbedding


def make_layers():
    """Returns every layer, built, with its inputs."""
    random = np.random.default_rng(0)
    images, features = (random.normal(size=shape).astype(np.float32) for shape in ((2, 4, 4, 3), (2, 6)))
    pairs = [
        (SpectralConv2D(5, 3, padding="same"), images),
        (SpectralDense(4), features),
        (SpectralEmbedding(7, 3), np.array([1, 6, 1])),
    ]
    for layer, inputs in pairs:
        layer(inputs)
        # The first singular value is well above the second, so that the power iteration is quick.
        kernel = random.normal(size=layer.kernel.shape)
        layer.kernel.assign(kernel + 3 * kernel[..., :1])
    return pairs


def to_matrix(layer):
    kernel = layer.kernel.numpy()
    return kernel.reshape(-1, kernel.shape[-1])


@pytest.mark.parametrize("index", range(3))
def test_the_kernel_is_divided_by_its_largest_singular_value(index):
    layer, inputs = make_layers()[index]
    for _ in range(100):
        layer(inputs, training=True)
    normalized = layer.normalize_kernel(training=False).numpy()
    np.testing.assert_allclose(
        normalized, layer.kernel.numpy() / np.linalg.norm(to_matrix(layer), 2), rtol=1e-4, atol=1e-6
    )


def test_the_layers_compute_what_those_of_keras_do_with_the_normalized_kernel():
    for layer, inputs in make_layers():
        plain = type(layer).__mro__[2].from_config(layer.get_config())
        plain.build(np.shape(inputs))
        variables = {weight.path.rpartition("/")[2]: weight for weight in layer.weights}
        for weight in plain.weights:
            name = weight.path.rpartition("/")[2]
            value = variables[name].numpy() if name == "bias" else layer.normalize_kernel(False)
            weight.assign(value)
        np.testing.assert_allclose(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-6)


def test_the_gradient_passes_through_the_norm():
    layer, inputs = make_layers()[1]
    for _ in range(200):
        layer(inputs, training=True)
    upstream = np.random.default_rng(1).normal(size=layer.kernel.shape)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer.normalize_kernel(False) * upstream.astype(np.float32))
    gradient = tape.gradient(value, layer.kernel.value)
    left, values, right = np.linalg.svd(to_matrix(layer))
    top = np.outer(left[:, 0], right[0])  # Miyato et al. 2018, equation 12
    expected = (upstream - np.sum(upstream * layer.kernel.numpy()) / values[0] * top) / values[0]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


def test_only_training_moves_the_vector():
    layer, inputs = make_layers()[0]
    before = layer.vector.numpy()
    layer(inputs)
    np.testing.assert_array_equal(layer.vector.numpy(), before)
    layer(inputs, training=True)
    assert not np.allclose(layer.vector.numpy(), before)
    assert [weight.path.rpartition("/")[2] for weight in layer.non_trainable_variables] == ["vector"]


def test_the_vector_is_saved_with_the_weights():
    for (layer, inputs), (other, _) in zip(make_layers(), make_layers(), strict=True):
        layer(inputs, training=True)
        shape, dtype = np.shape(inputs)[1:], np.asarray(inputs).dtype.name
        model, copy = (keras.Sequential([keras.Input(shape, dtype=dtype), each]) for each in (layer, other))
        model.save_weights("layer.weights.h5")
        copy.load_weights("layer.weights.h5")
        for one, two in zip(layer.weights, other.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_every_replica_has_the_vectors_of_a_single_one(two_replicas):
    def make():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4, 4, 3))
        return keras.Model(inputs, SpectralConv2D(5, 3)(inputs))

    alone = make()
    with two_replicas.scope():
        shared = make()
    images = tf.random.stateless_normal((4, 4, 4, 3), (0, 1))
    for _ in range(3):
        alone(images, training=True)
        two_replicas.run(tf.function(lambda: shared(images[:2], training=True)))
    vector = next(layer for layer in shared.layers if hasattr(layer, "vector")).vector
    for replica in two_replicas.experimental_local_results(vector.value):
        np.testing.assert_allclose(replica, alone.layers[-1].vector.numpy(), rtol=1e-6)


def test_the_norm_is_computed_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer, inputs = make_layers()[0]
    assert layer(inputs).dtype == tf.bfloat16 and layer.vector.dtype == "float32"
    for _ in range(100):
        layer(inputs, training=True)
    rounded = tf.cast(tf.cast(to_matrix(layer), tf.bfloat16), tf.float32).numpy()
    normalized = tf.cast(layer.normalize_kernel(False), tf.float32).numpy().reshape(rounded.shape)
    expected = rounded / np.linalg.norm(rounded, 2)
    np.testing.assert_allclose(normalized, expected, atol=2**-8 * np.abs(expected).max())
