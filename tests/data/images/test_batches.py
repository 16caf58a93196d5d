import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import evaluation_batches, labeled_batches, noise_batches
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.pipeline import InputMeter

PIXELS = np.arange(23, dtype=np.uint8)[:, None, None, None]  # every image is its own number


def numbers(batches, count):
    """The numbers of the images in the next `count` batches."""
    return [
        np.round((images.ravel() + 1) * 127.5).astype(int).tolist()
        for images, _ in batches.take(count).as_numpy_iterator()
    ]


def test_no_image_comes_twice_in_an_epoch_and_every_epoch_has_its_own_order():
    epochs = np.array(numbers(noise_batches(PIXELS, 5, 2, seed=0), 12)).reshape(3, 20).tolist()
    for epoch in epochs:
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(23))
    assert epochs[0] != epochs[1] != epochs[2]


def test_every_image_is_seen_over_a_few_epochs():
    seen = np.unique(numbers(noise_batches(PIXELS, 5, 2, seed=0), 40))
    assert set(seen.tolist()) == set(range(23))


@pytest.mark.parametrize("first", [1, 4, 9])
def test_starting_at_a_step_gives_the_batches_from_there_on(first):
    whole = list(noise_batches(PIXELS, 5, 2, seed=7).take(12).as_numpy_iterator())
    rest = list(noise_batches(PIXELS, 5, 2, seed=7, first_step=first).take(12 - first).as_numpy_iterator())
    for (images, noise), (same_images, same_noise) in zip(whole[first:], rest, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(noise, same_noise)


def test_another_seed_gives_another_order_and_other_noise():
    one, other = (next(noise_batches(PIXELS, 5, 2, seed=seed).as_numpy_iterator()) for seed in (0, 1))
    assert not np.array_equal(one[0], other[0]) and not np.array_equal(one[1], other[1])


def test_pixels_become_floats_from_minus_one_to_one():
    images, noise = next(noise_batches(np.array([[[[0]]], [[[255]]]], np.uint8), 2, 3, seed=0).as_numpy_iterator())
    assert images.dtype == noise.dtype == np.float32
    assert sorted(images.ravel()) == [-1, 1] and noise.shape == (2, 3)


def test_noise_is_standard_normal_and_no_two_rows_are_alike():
    noise = np.concatenate([noise for _, noise in noise_batches(PIXELS, 20, 50, seed=0).take(100).as_numpy_iterator()])
    assert len(np.unique(noise[:, 0])) == 2000
    standard_error = 1 / np.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * standard_error
    assert abs(noise.var() - 1) < 4 * np.sqrt(2) * standard_error


def labeled(count=23, classes=3):
    labels = (np.arange(count) % classes).astype(np.int32)
    return ImageSet("numbers", PIXELS[:count], "0", labels=labels, classes=tuple("abc"[:classes]))


def test_labels_stay_with_their_images_and_the_order_is_that_of_the_images_alone():
    data = labeled()
    expected = numbers(noise_batches(PIXELS, 5, 2, seed=3), 12)
    for (images, targets), places in zip(
        labeled_batches(data, 5, seed=3).take(12).as_numpy_iterator(), expected, strict=True
    ):
        assert np.round((images.ravel() + 1) * 127.5).astype(int).tolist() == places
        np.testing.assert_array_equal(targets, np.eye(3)[data.labels[places]])


def test_augmented_batches_can_start_at_any_step():
    augment = make_augmentation(AugmentationConfig(flip="random", mixup=0.5), PIXELS.shape[1:])
    whole = list(labeled_batches(labeled(), 5, 7, augment).take(9).as_numpy_iterator())
    rest = list(labeled_batches(labeled(), 5, 7, augment, first_step=6).take(3).as_numpy_iterator())
    for (images, targets), (same_images, same_targets) in zip(whole[6:], rest, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
    assert {tuple(images.ravel()) for images, _ in whole} != {tuple(whole[0][0].ravel())}


def test_augmentation_gets_the_seed_the_step_and_the_epoch_of_its_batch():
    def told(images, targets, indices, epoch, seed):
        return images, tf.zeros_like(targets) + tf.cast(tf.stack([seed[0], seed[1], epoch]), tf.float32)

    batches = labeled_batches(labeled(), 5, 7, told, first_step=2).take(8)
    assert [targets[0].tolist() for _, targets in batches.as_numpy_iterator()] == [
        [7, step, step // 4] for step in range(2, 10)
    ]


@pytest.mark.parametrize("count", [1, 5, 12, 23])
def test_evaluation_sees_every_image_once_in_order_in_batches_of_one_shape(count):
    batches = evaluation_batches(labeled(count), 5)
    assert batches.cardinality() == -(-count // 5)
    images, targets, weights = (np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator(), strict=True))
    assert len(images) % 5 == 0 and set(weights) <= {0, 1}
    kept = np.round((images.ravel() + 1) * 127.5).astype(int)[weights == 1]
    assert kept.tolist() == list(range(count))
    np.testing.assert_array_equal(targets[weights == 1], np.eye(3)[np.arange(count) % 3])


def test_the_meter_is_told_when_a_batch_is_asked_for_and_when_it_is_there():
    class Told(InputMeter):
        told = ""

        def ask(self):
            self.told += "a"
            return super().ask()

        def receive(self):
            self.told += "r"
            return super().receive()

    meter = Told()
    metered = iter(labeled_batches(labeled(), 5, seed=0, meter=meter))
    for taken, (images, targets) in enumerate(labeled_batches(labeled(), 5, seed=0).take(6), 1):
        same_images, same_targets = next(metered)
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
        assert meter.told == "ar" * taken and meter.waited > 0
