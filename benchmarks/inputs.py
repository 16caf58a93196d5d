"""Input pipelines without a model: karpa_tf's, and the usual tf.data pipelines that map a function over examples."""

import numpy as np
import tensorflow as tf

from benchmarks import synthetic
from benchmarks.program import Program
from karpa_tf.configs.classifier_presets import CIFAR_AUGMENTATION
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import NoiseBatches, make_labeled_batches
from karpa_tf.data.text.batches import make_masked_batches

IMAGE_SIZE, NUM_CLASSES, LATENT_DIM, PADDING = 32, 10, 100, 4
LENGTH, VOCABULARY_SIZE, NUM_PREDICTIONS = 128, 8000, 20


def _make_program(dataset, data_bytes):
    """Returns the `Program` that reads the batches of an endless dataset."""

    def run(after_step):
        for _ in dataset:
            after_step()

    return Program(run, data_bytes=data_bytes)


def _labeled(batch_size):
    image_set = synthetic.make_image_set(IMAGE_SIZE, NUM_CLASSES)
    augment = make_augmentation(CIFAR_AUGMENTATION, (IMAGE_SIZE, IMAGE_SIZE, 3))
    return _make_program(make_labeled_batches(image_set, batch_size, 0, augment), image_set.images.nbytes)


def _noise(batch_size):
    images = synthetic.make_images(64, 3)
    return _make_program(NoiseBatches(images, batch_size, LATENT_DIM).make(seed=0), images.nbytes)


def _masked(tokens_per_batch):
    tokens = synthetic.make_tokens(LENGTH, VOCABULARY_SIZE)
    masking = synthetic.make_masking(LENGTH, VOCABULARY_SIZE)
    return _make_program(
        make_masked_batches(tokens, LENGTH, masking, tokens_per_batch // LENGTH, seed=0), tokens.ids.nbytes
    )


def _labeled_per_example(batch_size):
    image_set = synthetic.make_image_set(IMAGE_SIZE, NUM_CLASSES)

    def augment(image, label):
        image = tf.image.resize_with_crop_or_pad(image, IMAGE_SIZE + 2 * PADDING, IMAGE_SIZE + 2 * PADDING)
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, (IMAGE_SIZE, IMAGE_SIZE, 3)))
        return tf.cast(image, tf.float32) / 127.5 - 1, tf.one_hot(label, NUM_CLASSES)

    return _map_examples((image_set.images, image_set.labels), augment, batch_size, image_set.images.nbytes)


def _noise_per_example(batch_size):
    images = synthetic.make_images(64, 3)

    def add_noise(image):
        return tf.cast(image, tf.float32) / 127.5 - 1, tf.random.normal((LATENT_DIM,))

    return _map_examples(images, add_noise, batch_size, images.nbytes)


def _masked_per_example(tokens_per_batch):
    tokens = synthetic.make_tokens(LENGTH, VOCABULARY_SIZE)
    masking = synthetic.make_masking(LENGTH, VOCABULARY_SIZE)
    rows = tokens.ids.reshape(-1, LENGTH - 2).astype(np.int32)

    def mask(row):
        positions = tf.random.shuffle(tf.range(LENGTH - 2))[:NUM_PREDICTIONS]
        targets = tf.gather(row, positions)
        uniform = tf.random.uniform((NUM_PREDICTIONS,))
        random_ids = tf.random.uniform((NUM_PREDICTIONS,), 5, VOCABULARY_SIZE, tf.int32)
        # 80 % [MASK], 10 % a random token, 10 % unchanged.
        replacements = tf.where(uniform < 0.8, masking.mask_id, tf.where(uniform < 0.9, random_ids, targets))
        row = tf.tensor_scatter_nd_update(row, positions[:, None], replacements)
        return {
            "token_ids": tf.concat([[2], row, [3]], axis=0),
            "padding_mask": tf.ones(LENGTH, tf.bool),
            "segment_ids": tf.zeros(LENGTH, tf.int32),
            "mask_positions": positions + 1,
            "mask_ids": targets,
            "mask_weights": tf.ones(NUM_PREDICTIONS),
        }

    return _map_examples(rows, mask, tokens_per_batch // LENGTH, rows.nbytes)


def _map_examples(arrays, function, batch_size, data_bytes):
    dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(synthetic.COUNT).repeat()
    dataset = dataset.map(function, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return _make_program(dataset.prefetch(tf.data.AUTOTUNE), data_bytes)


OURS = {"labeled": _labeled, "noise": _noise, "masked": _masked}
"""karpa_tf's pipelines: functions of the number of images or tokens per batch that return a `Program`."""

PER_EXAMPLE = {"labeled": _labeled_per_example, "noise": _noise_per_example, "masked": _masked_per_example}
"""The same as tf.data pipelines that map a function over examples."""
