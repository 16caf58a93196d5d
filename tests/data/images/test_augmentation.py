import itertools

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), dtype=np.uint8)
TARGETS = np.eye(4, dtype=np.float32)[np.arange(64) % 4]


def augmented(epoch=0, seed=(1, 2), indices=None, images=IMAGES, targets=None, **config):
    augment = make_augmentation(AugmentationConfig(**config), images.shape[1:])
    indices = np.arange(len(images)) if indices is None else indices
    targets = TARGETS[: len(images)] if targets is None else targets
    arguments = (images, targets, np.int64(indices), np.int64(epoch), np.int64(seed))
    changed, targets = augment(*(tf.constant(argument) for argument in arguments))
    assert changed.dtype == tf.float32 and targets.dtype == tf.float32
    return changed.numpy(), targets.numpy()


def mirrored(images, epoch=0, **config):
    """Which of the images came out mirrored; each must come out as it is, or mirrored."""
    changed, _ = augmented(epoch=epoch, images=images, **config)
    same = (changed == images).all((1, 2, 3))
    flipped = (changed == images[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ flipped).all()
    return flipped


def test_a_random_flip_mirrors_about_half():
    assert 16 < mirrored(IMAGES, flip="random").sum() < 48


def test_an_alternating_flip_shows_the_other_side_in_every_next_epoch():
    epochs = [mirrored(IMAGES, epoch, flip="alternating", seed=(1, epoch)) for epoch in range(4)]
    assert 16 < epochs[0].sum() < 48
    np.testing.assert_array_equal(epochs[1], ~epochs[0])
    np.testing.assert_array_equal(epochs[2], epochs[0])


def test_the_side_in_an_alternating_flip_belongs_to_the_image_not_to_its_place_in_the_batch():
    order = np.random.default_rng(1).permutation(64)
    first, _ = augmented(flip="alternating")
    shuffled, _ = augmented(flip="alternating", indices=order, images=IMAGES[order])
    np.testing.assert_array_equal(shuffled, first[order])


def test_a_shift_cuts_a_window_out_of_the_reflected_image():
    reach = 2
    changed, _ = augmented(crop_padding=reach)
    padded = np.pad(IMAGES, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    seen = set()
    for image, around in zip(changed, padded, strict=True):
        offsets = [(y, x) for y in range(5) for x in range(5) if np.array_equal(image, around[y : y + 12, x : x + 12])]
        assert len(offsets) == 1
        seen.add(offsets[0])
    assert len(seen) > 15  # of 25


def test_cutout_greys_one_rectangle_no_larger_than_asked_for():
    changed, targets = augmented(cutout=0.25)
    np.testing.assert_array_equal(targets, TARGETS)
    areas = []
    for image, original in zip(changed, IMAGES, strict=True):
        hidden = (image != original).any(-1)
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert (image[hidden] == 127.5).all()
        if len(rows):
            box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            assert hidden.sum() == box
        areas.append(hidden.mean())
    assert max(areas) <= 0.25 + 25 / 144 and np.mean(areas) > 0.05


def test_mixup_blends_images_as_it_blends_targets():
    changed, targets = augmented(mixup=1.0, images=IMAGES[:16], targets=np.eye(16, dtype=np.float32))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert targets.max(1).min() < 0.9
    for image, target in zip(changed, targets, strict=True):
        np.testing.assert_allclose(image, np.tensordot(target, IMAGES[:16].astype(float), 1), atol=1e-2)


def test_cutmix_takes_as_much_of_another_image_as_of_its_target():
    changed, targets = augmented(cutmix=1.0, images=IMAGES[:16], targets=np.eye(16, dtype=np.float32))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert targets.max(1).min() < 0.9
    for place, (image, target) in enumerate(zip(changed, targets, strict=True)):
        own = (image == IMAGES[place]).all(-1).mean()
        assert own == pytest.approx(target[place], abs=0.17)  # rectangles end on whole pixels


def test_randaugment_changes_images_within_their_range():
    changed, targets = augmented(randaugment=0.5)
    np.testing.assert_array_equal(targets, TARGETS)
    assert changed.min() >= 0 and changed.max() <= 255 and np.abs(changed - IMAGES).mean() > 1


EVERYTHING = {"flip": "random", "crop_padding": 2, "cutout": 0.2, "mixup": 0.3, "randaugment": 0.3}


def test_same_seed_same_batch_and_another_seed_another():
    one, same, other = (augmented(seed=seed, **EVERYTHING) for seed in ((1, 2), (1, 2), (1, 3)))
    for first, second in zip(one, same, strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.abs(one[0] - other[0]).mean() > 1


@pytest.mark.parametrize("seed", [(1, 3), (2, 2)])
@pytest.mark.parametrize(
    "config",
    [{"flip": "random"}, {"crop_padding": 2}, {"cutout": 0.5}, {"mixup": 0.5}, {"cutmix": 1.0}, {"randaugment": 0.5}],
)
def test_each_change_alone_follows_both_numbers_of_the_seed(config, seed):
    one, other = (augmented(seed=numbers, **config)[0] for numbers in ((1, 2), seed))
    assert np.abs(one - other).mean() > 1


def test_randaugment_in_a_pipeline_depends_on_the_seed_alone():
    augment = make_augmentation(AugmentationConfig(randaugment=0.5), IMAGES.shape[1:])

    def batches(first):
        seeds = tf.data.Dataset.range(first, 6)
        fixed = tf.constant(IMAGES), tf.constant(TARGETS), tf.range(64, dtype=tf.int64), tf.constant(0, tf.int64)
        return list(seeds.map(lambda step: augment(*fixed, tf.stack([0, step]))[0], 2).as_numpy_iterator())

    whole, rest = batches(0), batches(3)
    np.testing.assert_array_equal(whole[3:], rest)
    assert all(np.abs(one - other).mean() > 1 for one, other in itertools.pairwise(whole))


def test_the_first_side_in_an_alternating_flip_follows_the_seed_of_the_run():
    one, other = (mirrored(IMAGES, flip="alternating", seed=(run, 5)) for run in (1, 2))
    assert (one != other).any()


def test_nothing_asked_for_nothing_changed():
    assert not AugmentationConfig().is_active and AugmentationConfig(cutout=0.1).changes()
    changed, targets = augmented()
    np.testing.assert_array_equal(changed, IMAGES)
    np.testing.assert_array_equal(targets, TARGETS)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"crop_padding": -1}, "--crop-padding must be at least 0"),
        ({"cutout": 1.5}, "--cutout must be from 0 to 1"),
        ({"mixup": -1.0}, "--mixup must be at least 0"),
        ({"mixup": 0.2, "cutmix": 1.0}, "exclude each other"),
    ],
)
def test_a_config_refuses_what_makes_no_sense(config, says):
    with pytest.raises(UserError, match=says):
        AugmentationConfig(**config)
