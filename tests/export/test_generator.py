import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.gan import TINY
from karpa_tf.export.generator import generator_functions, make_generator_export
from karpa_tf.export.versions import write
from karpa_tf.models.dcgan import make_generator
from karpa_tf.models.sampling import interpolate, noise_from_seeds, to_pixels


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(generator, folder of its version)."""
    generator = make_generator(TINY)
    # Untrained batch statistics would make all images the same gray.
    for _ in range(50):
        generator(np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), training=True)
    return generator, write(tmp_path_factory.mktemp("models") / "tiny", make_generator_export(generator))


def test_signatures_name_their_inputs_and_outputs(exported):
    signatures = tf.saved_model.load(str(exported[1])).signatures
    assert set(signatures) == {"serving_default", "noise", "image_bytes"}
    shapes = {
        name: (function.structured_input_signature[1], function.structured_outputs)
        for name, function in signatures.items()
    }
    seed, images = shapes["serving_default"][0]["seed"], shapes["serving_default"][1]["images"]
    assert (seed.dtype, seed.shape.as_list()) == (tf.int64, [None])
    assert (images.dtype, images.shape.as_list()) == (tf.uint8, [None, 16, 16, 1])
    noise, images = shapes["noise"][0]["noise"], shapes["noise"][1]["images"]
    assert (noise.dtype, noise.shape.as_list()) == (tf.float32, [None, 8])
    assert (images.dtype, images.shape.as_list()) == (tf.uint8, [None, 16, 16, 1])


def test_the_files_hold_the_images_of_the_seeds(exported):
    signatures = tf.saved_model.load(str(exported[1])).signatures
    seeds = tf.constant([5, -1, 2**40], tf.int64)
    files = signatures["image_bytes"](seed=seeds)["image_bytes"]
    decoded = [tf.io.decode_png(file) for file in files]
    np.testing.assert_array_equal(decoded, signatures["serving_default"](seed=seeds)["images"])


def test_the_saved_model_draws_what_the_model_draws(exported):
    generator, path = exported
    noise = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    drawn = np.clip(np.round((generator(noise).numpy() + 1) * 127.5), 0, 255).astype(np.uint8)
    served = tf.saved_model.load(str(path)).signatures["noise"](noise=tf.constant(noise))["images"]
    np.testing.assert_array_equal(served, drawn)
    assert drawn.std(axis=0).mean() > 1  # images, and not one gray


def test_a_seed_gives_the_same_image_alone_and_in_a_batch(exported):
    draw = tf.saved_model.load(str(exported[1])).signatures["serving_default"]
    seeds = tf.constant([7, -3, 2**40, 0, 7] * 7, tf.int64)
    batch = draw(seed=seeds)["images"].numpy()
    for place in range(len(batch)):
        np.testing.assert_array_equal(draw(seed=seeds[place : place + 1])["images"][0], batch[place])
    assert (batch[0] == batch[4]).all() and (batch[0] != batch[1]).any()
    assert draw(seed=tf.zeros([0], tf.int64))["images"].shape[0] == 0


def test_a_seed_is_drawn_in_a_batch_of_the_same_size_however_many_are_asked_for():
    class ShowBatchSize(keras.layers.Layer):
        """Paints every image in the gray of the batch it is drawn in: the rounding of convolutions, writ large."""

        def call(self, noise):
            return tf.zeros((tf.shape(noise)[0], 2, 2, 1)) + tf.cast(tf.shape(noise)[0], tf.float32) / 100

        def compute_output_shape(self, shape):
            return (shape[0], 2, 2, 1)

    noise = keras.Input((3,), name="noise")
    functions = generator_functions(keras.Model(noise, ShowBatchSize()(noise)))
    drawn = [
        functions["serving_default"](tf.range(count, dtype=tf.int64))["images"].numpy() for count in (1, 2, 8, 9, 35)
    ]
    assert len(np.unique(np.concatenate(drawn))) == 1
    at_once = functions["noise"](tf.zeros((35, 3)))["images"].numpy()
    assert at_once[0, 0, 0, 0] != drawn[0][0, 0, 0, 0]  # the layer does show it


def test_the_noise_of_a_seed_is_normal_and_its_own():
    noise = noise_from_seeds(tf.range(4000, dtype=tf.int64), 16).numpy()
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size) and abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    neighbors = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert abs(neighbors) < 4 / np.sqrt(noise.size)


def test_pixels_are_rounded_and_clipped():
    assert to_pixels(tf.constant([-9.0, -1.0, 0.0, 0.999, 1.0, 9.0])).numpy().tolist() == [0, 0, 128, 255, 255, 255]


def test_a_walk_keeps_to_the_sphere_and_its_ends():
    start, end = tf.constant([3.0, 0.0, 0.0]), tf.constant([0.0, 3.0, 0.0])
    walk = interpolate(start, end, 5).numpy()
    np.testing.assert_allclose(walk[[0, -1]], [start, end], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(walk[2], [3 / np.sqrt(2), 3 / np.sqrt(2), 0], rtol=1e-6)
