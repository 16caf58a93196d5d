"""Input pipelines alone: karpa_tf's, and the usual ones of tf.data that treat one example after the other."""

import numpy as np
import tensorflow as tf

from benchmarks import made_up
from benchmarks.contender import Program
from karpa_tf.configs.classifier_presets import CIFAR_AUGMENTATION
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import make_labeled_batches, make_noise_batches
from karpa_tf.data.text.batches import masked_batches

SIDE, CLASSES, LATENT_DIM, LENGTH, WORDS, PADDING, PREDICTIONS = 32, 10, 100, 128, 8000, 4, 20


def _consumed(dataset, data_bytes):
    """Returns the `Program` that takes one batch after the other."""

    def run(after_step):
        for _ in dataset:
            after_step()

    return Program(run, data_bytes=data_bytes)


def _labeled(batch_size):
    image_set = made_up.image_set(SIDE, CLASSES)
    augment = make_augmentation(CIFAR_AUGMENTATION, (SIDE, SIDE, 3))
    return _consumed(make_labeled_batches(image_set, batch_size, 0, augment), image_set.images.nbytes)


def _noise(batch_size):
    images = made_up.images(64, 3)
    return _consumed(make_noise_batches(images, batch_size, LATENT_DIM, seed=0), images.nbytes)


def _masked(tokens_in_batch):
    tokens, masking = made_up.tokens(LENGTH, WORDS), made_up.masking(LENGTH, WORDS)
    return _consumed(masked_batches(tokens, LENGTH, masking, tokens_in_batch // LENGTH, seed=0), tokens.ids.nbytes)


def _labeled_per_example(batch_size):
    image_set = made_up.image_set(SIDE, CLASSES)

    def change(image, label):
        image = tf.image.resize_with_crop_or_pad(image, SIDE + 2 * PADDING, SIDE + 2 * PADDING)
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, (SIDE, SIDE, 3)))
        return tf.cast(image, tf.float32) / 127.5 - 1, tf.one_hot(label, CLASSES)

    return _per_example((image_set.images, image_set.labels), change, batch_size, image_set.images.nbytes)


def _noise_per_example(batch_size):
    images = made_up.images(64, 3)

    def change(image):
        return tf.cast(image, tf.float32) / 127.5 - 1, tf.random.normal((LATENT_DIM,))

    return _per_example(images, change, batch_size, images.nbytes)


def _masked_per_example(tokens_in_batch):
    tokens, masking = made_up.tokens(LENGTH, WORDS), made_up.masking(LENGTH, WORDS)
    rows = tokens.ids.reshape(-1, LENGTH - 2).astype(np.int32)

    def hide(row):
        places = tf.random.shuffle(tf.range(LENGTH - 2))[:PREDICTIONS]
        hidden = tf.gather(row, places)
        kind = tf.random.uniform((PREDICTIONS,))
        anything = tf.random.uniform((PREDICTIONS,), 5, WORDS, tf.int32)
        shown = tf.where(kind < 0.8, masking.mask_id, tf.where(kind < 0.9, anything, hidden))
        row = tf.tensor_scatter_nd_update(row, places[:, None], shown)
        return {
            "token_ids": tf.concat([[2], row, [3]], axis=0),
            "padding_mask": tf.ones(LENGTH, tf.bool),
            "segment_ids": tf.zeros(LENGTH, tf.int32),
            "mask_positions": places + 1,
            "mask_ids": hidden,
            "mask_weights": tf.ones(PREDICTIONS),
        }

    return _per_example(rows, hide, tokens_in_batch // LENGTH, rows.nbytes)


def _per_example(arrays, change, batch_size, data_bytes):
    dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(made_up.COUNT).repeat()
    dataset = dataset.map(change, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return _consumed(dataset.prefetch(tf.data.AUTOTUNE), data_bytes)


OURS = {"labeled": _labeled, "noise": _noise, "masked": _masked}
"""karpa_tf's pipelines; each takes the number of images or tokens in a batch."""

PER_EXAMPLE = {"labeled": _labeled_per_example, "noise": _noise_per_example, "masked": _masked_per_example}
"""The usual ones."""
