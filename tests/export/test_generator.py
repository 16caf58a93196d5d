"""Exported generators: every signature against the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import CLASSES, make_tiny_conditional_generator

from karpa_tf.configs.dcgan import TINY
from karpa_tf.export.generator import make_generator_export, make_generator_functions
from karpa_tf.export.versions import load_version, write
from karpa_tf.models.dcgan import make_generator


@pytest.fixture(scope="module")
def generator():
    generator = make_generator(TINY)
    # With initial moving averages all images would be the same gray.
    for _ in range(50):
        generator(np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), training=True)
    return generator


@pytest.fixture(scope="module")
def signatures(generator, tmp_path_factory):
    """The loaded signatures of the exported generator."""
    export = make_generator_export(generator, task="image generation")
    return load_version(write(tmp_path_factory.mktemp("models") / "tiny", export))


def test_signatures_have_named_inputs_and_outputs(signatures):
    assert set(signatures) == {"serving_default", "noise", "image_bytes"}
    specs = {
        name: (function.structured_input_signature[1], function.structured_outputs)
        for name, function in signatures.items()
    }
    seed, images = specs["serving_default"][0]["seed"], specs["serving_default"][1]["images"]
    assert (seed.dtype, seed.shape.as_list()) == (tf.int64, [None])
    assert (images.dtype, images.shape.as_list()) == (tf.uint8, [None, 16, 16, 1])
    noise, images = specs["noise"][0]["noise"], specs["noise"][1]["images"]
    assert (noise.dtype, noise.shape.as_list()) == (tf.float32, [None, 8])
    assert (images.dtype, images.shape.as_list()) == (tf.uint8, [None, 16, 16, 1])


def test_image_files_contain_the_images_of_the_seeds(signatures):
    seeds = tf.constant([5, -1, 2**40], tf.int64)
    files = signatures["image_bytes"](seed=seeds)["image_bytes"]
    decoded = [tf.io.decode_png(file) for file in files]
    np.testing.assert_array_equal(decoded, signatures["serving_default"](seed=seeds)["images"])


def test_the_saved_model_generates_the_images_of_the_model(generator, signatures):
    noise = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    expected = np.clip(np.round((generator(noise).numpy() + 1) * 127.5), 0, 255).astype(np.uint8)
    images = signatures["noise"](noise=tf.constant(noise))["images"]
    np.testing.assert_array_equal(images, expected)
    assert expected.std(axis=0).mean() > 1  # not all the same


def test_the_image_of_a_seed_does_not_depend_on_the_batch(signatures):
    generate = signatures["serving_default"]
    seeds = tf.constant([7, -3, 2**40, 0, 7] * 7, tf.int64)
    batch = generate(seed=seeds)["images"].numpy()
    for index in range(len(batch)):
        np.testing.assert_array_equal(generate(seed=seeds[index : index + 1])["images"][0], batch[index])
    assert (batch[0] == batch[4]).all() and (batch[0] != batch[1]).any()
    assert generate(seed=tf.zeros([0], tf.int64))["images"].shape[0] == 0


def test_images_of_seeds_are_generated_with_the_same_batch_size_for_any_number_of_seeds():
    class ShowBatchSize(keras.layers.Layer):
        """Fills every image with a gray level that depends on the batch size, as the rounding of convolutions does."""

        def call(self, noise):
            return tf.zeros((tf.shape(noise)[0], 2, 2, 1)) + tf.cast(tf.shape(noise)[0], tf.float32) / 100

        def compute_output_shape(self, shape):
            return (shape[0], 2, 2, 1)

    noise = keras.Input((3,), name="noise")
    functions = make_generator_functions(keras.Model(noise, ShowBatchSize()(noise)))
    images = [
        functions["serving_default"](tf.range(count, dtype=tf.int64))["images"].numpy() for count in (1, 2, 8, 9, 35)
    ]
    assert len(np.unique(np.concatenate(images))) == 1
    batch = functions["noise"](tf.zeros((35, 3)))["images"].numpy()
    assert batch[0, 0, 0, 0] != images[0][0, 0, 0, 0]  # The layer works.


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """The export of a conditional generator and its loaded signatures."""
    export = make_tiny_conditional_generator()
    return export, load_version(write(tmp_path_factory.mktemp("models") / "tiny", export))


def test_a_conditional_generator_takes_labels_beside_seeds_or_noise(conditional):
    _, signatures = conditional
    inputs = {name: function.structured_input_signature[1] for name, function in signatures.items()}
    assert {name: set(specs) for name, specs in inputs.items()} == {
        "serving_default": {"seed", "labels"},
        "noise": {"noise", "labels"},
        "image_bytes": {"seed", "labels"},
    }
    assert {(specs["labels"].dtype, specs["labels"].shape.rank) for specs in inputs.values()} == {(tf.int64, 1)}


def test_the_image_of_a_seed_and_a_label_does_not_depend_on_the_batch(conditional):
    _, signatures = conditional
    seeds, labels = tf.constant([7, -3, 2**40, 7] * 5, tf.int64), tf.constant([0, 1, 2, 1] * 5, tf.int64)
    batch = signatures["serving_default"](seed=seeds, labels=labels)["images"].numpy()
    for index in range(4):
        rows = slice(index, index + 1)
        alone = signatures["serving_default"](seed=seeds[rows], labels=labels[rows])["images"][0]
        np.testing.assert_array_equal(alone, batch[index])
    assert (batch[0] != batch[3]).any()  # the same seed, another class
    files = signatures["image_bytes"](seed=seeds[:3], labels=labels[:3])["image_bytes"]
    np.testing.assert_array_equal([tf.io.decode_png(file) for file in files], batch[:3])


def test_the_classes_of_a_conditional_generator_are_exported(conditional):
    export, signatures = conditional
    assert (signatures.folder / "assets.extra" / "labels.txt").read_text().splitlines() == list(CLASSES)
    assert export.details["classes"] == list(CLASSES)
