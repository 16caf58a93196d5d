import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import NoiseBatches, make_evaluation_batches, make_labeled_batches
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.pipeline import InputMeter

PIXELS = np.arange(23, dtype=np.uint8)[:, None, None, None]  # every image is its index


def get_images(batch):
    return batch["images"] if isinstance(batch, dict) else batch[0]


def read_indices(batches, count):
    """Returns the indices of the images in the first `count` batches."""
    return [
        np.round((images.ravel() + 1) * 127.5).astype(int).tolist()
        for images in map(get_images, batches.take(count).as_numpy_iterator())
    ]


def test_an_epoch_has_no_image_twice_and_every_epoch_has_a_different_order():
    epochs = np.array(read_indices(NoiseBatches(PIXELS, 5, 2).make(seed=0), 12)).reshape(3, 20).tolist()
    for epoch in epochs:
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(23))
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_few_epochs_contain_every_image():
    found = np.unique(read_indices(NoiseBatches(PIXELS, 5, 2).make(seed=0), 40))
    assert set(found.tolist()) == set(range(23))


@pytest.mark.parametrize("first", [1, 4, 9])
def test_starting_at_a_step_gives_the_same_batches_as_skipping_to_it(first):
    all_batches = list(NoiseBatches(PIXELS, 5, 2).make(seed=7).take(12).as_numpy_iterator())
    rest = list(NoiseBatches(PIXELS, 5, 2).make(seed=7, first_step=first).take(12 - first).as_numpy_iterator())
    for batch, same in zip(all_batches[first:], rest, strict=True):
        for name, values in batch.items():
            np.testing.assert_array_equal(values, same[name])


def test_a_different_seed_gives_a_different_order_and_different_noise():
    one, other = (next(NoiseBatches(PIXELS, 5, 2).make(seed=seed).as_numpy_iterator()) for seed in (0, 1))
    assert not any(np.array_equal(values, other[name]) for name, values in one.items())


def test_pixels_are_normalized_to_floats_from_minus_one_to_one():
    batches = NoiseBatches(np.array([[[[0]]], [[[255]]]], np.uint8), 2, 3).make(seed=0)
    images, noise = next(batches.as_numpy_iterator()).values()
    assert images.dtype == noise.dtype == np.float32
    assert sorted(images.ravel()) == [-1, 1] and noise.shape == (2, 3)


def test_noise_is_standard_normal_and_no_two_vectors_are_equal():
    noise = np.concatenate(
        [batch["noise"] for batch in NoiseBatches(PIXELS, 20, 50).make(seed=0).take(100).as_numpy_iterator()]
    )
    assert len(np.unique(noise[:, 0])) == 2000
    standard_error = 1 / np.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * standard_error
    assert abs(noise.var() - 1) < 4 * np.sqrt(2) * standard_error


def make_image_set(count=23, classes=3):
    labels = (np.arange(count) % classes).astype(np.int32)
    return ImageSet("indices", PIXELS[:count], "0", labels=labels, classes=tuple("abc"[:classes]))


def test_targets_match_their_images_and_labels_do_not_change_the_order():
    data = make_image_set()
    expected = read_indices(NoiseBatches(PIXELS, 5, 2).make(seed=3), 12)
    batches = make_labeled_batches(data, 5, seed=3).take(12).as_numpy_iterator()
    for (images, targets), indices in zip(batches, expected, strict=True):
        assert np.round((images.ravel() + 1) * 127.5).astype(int).tolist() == indices
        np.testing.assert_array_equal(targets, np.eye(3)[data.labels[indices]])


def test_augmented_batches_can_start_at_any_step():
    augment = make_augmentation(AugmentationConfig(flip="random", mixup=0.5), PIXELS.shape[1:])
    all_batches = list(make_labeled_batches(make_image_set(), 5, 7, augment).take(9).as_numpy_iterator())
    rest = list(make_labeled_batches(make_image_set(), 5, 7, augment, first_step=6).take(3).as_numpy_iterator())
    for (images, targets), (same_images, same_targets) in zip(all_batches[6:], rest, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
    assert {tuple(images.ravel()) for images, _ in all_batches} != {tuple(all_batches[0][0].ravel())}


def test_augmentation_gets_the_seed_the_step_and_the_epoch_of_the_batch():
    def return_arguments(images, targets, indices, epoch, seed):
        return images, tf.zeros_like(targets) + tf.cast(tf.stack([seed[0], seed[1], epoch]), tf.float32)

    batches = make_labeled_batches(make_image_set(), 5, 7, return_arguments, first_step=2).take(8)
    assert [targets[0].tolist() for _, targets in batches.as_numpy_iterator()] == [
        [7, step, step // 4] for step in range(2, 10)
    ]


@pytest.mark.parametrize("count", [1, 5, 12, 23])
def test_evaluation_batches_have_every_image_once_in_order_and_the_same_shape(count):
    batches = make_evaluation_batches(make_image_set(count), 5)
    assert batches.cardinality() == -(-count // 5)
    images, targets, weights = (np.concatenate(arrays) for arrays in zip(*batches.as_numpy_iterator(), strict=True))
    assert len(images) % 5 == 0 and set(weights) <= {0, 1}
    unpadded = np.round((images.ravel() + 1) * 127.5).astype(int)[weights == 1]
    assert unpadded.tolist() == list(range(count))
    np.testing.assert_array_equal(targets[weights == 1], np.eye(3)[np.arange(count) % 3])


def test_the_meter_is_started_and_stopped_for_every_batch():
    class RecordingMeter(InputMeter):
        calls = ()

        def start(self):
            self.calls += ("start",)
            return super().start()

        def stop(self):
            self.calls += ("stop",)
            return super().stop()

    meter = RecordingMeter()
    metered = iter(make_labeled_batches(make_image_set(), 5, seed=0, meter=meter))
    for count, (images, targets) in enumerate(make_labeled_batches(make_image_set(), 5, seed=0).take(6), 1):
        same_images, same_targets = next(metered)
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
        assert meter.calls == ("start", "stop") * count and meter.wait_seconds > 0
