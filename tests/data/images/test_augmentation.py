import itertools

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), dtype=np.uint8)
TARGETS = np.eye(4, dtype=np.float32)[np.arange(64) % 4]


def augment(epoch=0, seed=(1, 2), indices=None, images=IMAGES, targets=None, **config):
    augment_batch = make_augmentation(AugmentationConfig(**config), images.shape[1:])
    indices = np.arange(len(images)) if indices is None else indices
    targets = TARGETS[: len(images)] if targets is None else targets
    arguments = (images, targets, np.int64(indices), np.int64(epoch), np.int64(seed))
    changed, targets = augment_batch(*(tf.constant(argument) for argument in arguments))
    assert changed.dtype == tf.float32 and targets.dtype == tf.float32
    return changed.numpy(), targets.numpy()


def find_flipped(images, epoch=0, **config):
    """Returns which of the images are flipped, bool (batch,); the others must be unchanged."""
    changed, _ = augment(epoch=epoch, images=images, **config)
    same = (changed == images).all((1, 2, 3))
    flipped = (changed == images[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ flipped).all()
    return flipped


def test_a_random_flip_flips_about_half_of_the_images():
    assert 16 < find_flipped(IMAGES, flip="random").sum() < 48


def test_an_alternating_flip_alternates_between_epochs():
    epochs = [find_flipped(IMAGES, epoch, flip="alternating", seed=(1, epoch)) for epoch in range(4)]
    assert 16 < epochs[0].sum() < 48
    np.testing.assert_array_equal(epochs[1], ~epochs[0])
    np.testing.assert_array_equal(epochs[2], epochs[0])


def test_an_alternating_flip_depends_on_the_index_of_the_image_not_on_its_position_in_the_batch():
    order = np.random.default_rng(1).permutation(64)
    first, _ = augment(flip="alternating")
    shuffled, _ = augment(flip="alternating", indices=order, images=IMAGES[order])
    np.testing.assert_array_equal(shuffled, first[order])


def test_a_shift_is_a_crop_of_the_image_padded_by_reflection():
    padding = 2
    changed, _ = augment(crop_padding=padding / IMAGES.shape[1])
    padded = np.pad(IMAGES, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    found = set()
    for image, padded_image in zip(changed, padded, strict=True):
        offsets = [
            (y, x)
            for y, x in itertools.product(range(5), range(5))
            if np.array_equal(image, padded_image[y : y + 12, x : x + 12])
        ]
        assert len(offsets) == 1
        found.add(offsets[0])
    assert len(found) > 15  # of 25


RAMP = np.broadcast_to(np.linspace(0, 240, 33)[None, :, None, None], (400, 33, 33, 3)) / 2
RAMP = (RAMP + RAMP.swapaxes(1, 2) * [0, 1, 0]).astype(np.uint8)
"""Red is the row, and green less red the column, so that pixels tell where they are from."""


def find_crops(**config):
    """Returns the first and the last row and column of crops of `RAMP`, as fractions of its size, (n, 4)."""
    indices = np.arange(len(RAMP))
    changed, _ = augment(images=RAMP, targets=np.eye(400, dtype=np.float32), indices=indices, **config)
    rows, columns = changed[..., 0] / 120, (changed[..., 1] - changed[..., 0]) / 120
    np.testing.assert_allclose(rows, rows[:, :, :1].repeat(33, 2), atol=0.02)  # Axes stay straight,
    steps = np.diff(columns[:, 0], axis=1)
    np.testing.assert_allclose(steps, steps.mean(1, keepdims=True).repeat(32, 1), atol=0.02)  # and evenly spaced.
    return np.stack([rows[:, 0, 0], rows[:, -1, 0], columns[:, 0, 0], columns[:, 0, -1]], axis=1)


def test_random_resized_crops_have_the_configured_areas_and_aspect_ratios_anywhere_in_the_image():
    crops = find_crops(crop_scale=0.25)
    heights, widths = crops[:, 1] - crops[:, 0], crops[:, 3] - crops[:, 2]
    areas, ratios = heights * widths, widths / heights
    assert 0.22 < areas.min() < 0.3 and 0.9 < areas.max() <= 1
    # The mean is that of areas from 0.25 to 1, less what large crops lose where their longer side is clipped.
    assert 0.55 < areas.mean() < 0.63
    assert ratios.min() > 0.72 and ratios.max() < 1.4 and ratios.std() > 0.1
    assert crops[:, 0].min() < 0.02 and crops[:, 1].max() > 0.98  # They reach both borders,
    assert abs((crops[:, 0] + crops[:, 1]).mean() - 1) < 0.06  # and are not to one side.
    flipped = find_crops(crop_scale=0.25, flip="random")
    assert 0.4 < (flipped[:, 3] < flipped[:, 2]).mean() < 0.6
    np.testing.assert_allclose(np.sort(flipped[:, 2:], axis=1), crops[:, 2:], atol=0.02)


def test_color_jitter_scales_brightness_contrast_and_saturation_of_each_image():
    flat = np.full((200, 4, 4, 3), [60, 100, 80], np.uint8)
    changed, _ = augment(images=flat, targets=np.eye(200, dtype=np.float32), color_jitter=0.5)
    luminance = changed @ [0.299, 0.587, 0.114]
    brightness = luminance[:, 0, 0] / (np.array([60, 100, 80]) @ [0.299, 0.587, 0.114])
    assert 0.5 <= brightness.min() < 0.55 and 1.45 < brightness.max() <= 1.5
    chroma = (changed[:, 0, 0, 1] - changed[:, 0, 0, 0]) / 40 / brightness  # by contrast and by saturation
    assert 0.5**2 <= chroma.min() < 0.4 and 1.8 < chroma.max() <= 1.5**2
    gray = np.full((200, 4, 4, 1), 100, np.uint8)
    gray[:, :2] = 60
    changed, _ = augment(images=gray, targets=np.eye(200, dtype=np.float32), color_jitter=0.5)
    contrast = (changed[:, 3] - changed[:, 0])[:, 0, 0] / changed.mean((1, 2, 3)) / (40 / 80)
    assert 0.499 <= contrast.min() < 0.55 and 1.45 < contrast.max() <= 1.501
    assert changed.min() >= 0 and changed.max() <= 255


def test_with_mixup_and_cutmix_every_batch_has_one_of_them():
    kinds = []
    for number in range(8):
        changed, targets = augment(mixup=1.0, cutmix=1.0, images=IMAGES[:16], targets=TARGETS[:16], seed=(0, number))
        np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
        is_cut = [any((pixel == IMAGES[:16, 5, 5]).all(-1)) for pixel in changed[:, 5, 5]]
        assert all(is_cut) or not all(is_cut[1:])
        kinds.append(all(is_cut))
    assert 0 < sum(kinds) < 8


def test_cutout_fills_one_gray_rectangle_up_to_the_configured_area():
    changed, targets = augment(cutout=0.25)
    np.testing.assert_array_equal(targets, TARGETS)
    areas = []
    for image, original in zip(changed, IMAGES, strict=True):
        erased = (image != original).any(-1)
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        assert (image[erased] == 127.5).all()
        if len(rows):
            box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            assert erased.sum() == box
        areas.append(erased.mean())
    assert max(areas) <= 0.25 + 25 / 144 and np.mean(areas) > 0.05


def test_cutout_with_a_probability_leaves_the_other_images_of_a_batch_as_they_are():
    images = np.zeros((1000, 12, 12, 1), np.uint8)
    targets = np.ones((1000, 1), np.float32)
    always, some = (
        augment(images=images, targets=targets, cutout=0.5, **options)[0]
        for options in ({}, {"cutout_probability": 0.3})
    )
    erased = some.any((1, 2, 3))
    np.testing.assert_array_equal(some, always * erased[:, None, None, None])
    # Of the binomial distribution, four standard deviations on each side.
    assert abs(erased.sum() / always.any((1, 2, 3)).sum() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 1000)


def test_mixup_mixes_images_in_the_same_ratio_as_targets():
    changed, targets = augment(mixup=1.0, images=IMAGES[:16], targets=np.eye(16, dtype=np.float32))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert targets.max(1).min() < 0.9
    for image, target in zip(changed, targets, strict=True):
        np.testing.assert_allclose(image, np.tensordot(target, IMAGES[:16].astype(float), 1), atol=1e-2)


def test_cutmix_mixes_images_in_the_same_ratio_as_targets():
    changed, targets = augment(cutmix=1.0, images=IMAGES[:16], targets=np.eye(16, dtype=np.float32))
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)
    assert targets.max(1).min() < 0.9
    for index, (image, target) in enumerate(zip(changed, targets, strict=True)):
        own = (image == IMAGES[index]).all(-1).mean()
        assert own == pytest.approx(target[index], abs=0.17)  # rectangles end on whole pixels


def test_randaugment_keeps_the_range_of_pixels():
    changed, targets = augment(randaugment=0.5)
    np.testing.assert_array_equal(targets, TARGETS)
    assert changed.min() >= 0 and changed.max() <= 255 and np.abs(changed - IMAGES).mean() > 1


ALL = {"flip": "random", "crop_padding": 0.25, "cutout": 0.2, "mixup": 0.3, "randaugment": 0.3}


def test_the_same_seed_gives_the_same_batch_and_a_different_seed_a_different_one():
    one, same, other = (augment(seed=seed, **ALL) for seed in ((1, 2), (1, 2), (1, 3)))
    for first, second in zip(one, same, strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.abs(one[0] - other[0]).mean() > 1


@pytest.mark.parametrize("seed", [(1, 3), (2, 2)])
@pytest.mark.parametrize(
    "config",
    [
        {"flip": "random"},
        {"crop_padding": 0.25},
        {"cutout": 0.5},
        {"mixup": 0.5},
        {"cutmix": 1.0},
        {"randaugment": 0.5},
        {"crop_scale": 0.3},
        {"color_jitter": 0.5},
    ],
)
def test_each_transformation_depends_on_both_numbers_of_the_seed(config, seed):
    one, other = (augment(seed=numbers, **config)[0] for numbers in ((1, 2), seed))
    assert np.abs(one - other).mean() > 1


def test_randaugment_in_a_dataset_depends_only_on_the_seed():
    augment_batch = make_augmentation(AugmentationConfig(randaugment=0.5), IMAGES.shape[1:])

    def make_batches(first):
        seeds = tf.data.Dataset.range(first, 6)
        fixed = tf.constant(IMAGES), tf.constant(TARGETS), tf.range(64, dtype=tf.int64), tf.constant(0, tf.int64)
        return list(seeds.map(lambda step: augment_batch(*fixed, tf.stack([0, step]))[0], 2).as_numpy_iterator())

    all_batches, rest = make_batches(0), make_batches(3)
    np.testing.assert_array_equal(all_batches[3:], rest)
    assert all(np.abs(one - other).mean() > 1 for one, other in itertools.pairwise(all_batches))


def test_the_first_epoch_of_an_alternating_flip_depends_on_the_seed_of_the_run():
    one, other = (find_flipped(IMAGES, flip="alternating", seed=(run, 5)) for run in (1, 2))
    assert (one != other).any()


def test_the_default_config_changes_nothing():
    assert not AugmentationConfig().is_active and AugmentationConfig(cutout=0.1).is_active
    changed, targets = augment()
    np.testing.assert_array_equal(changed, IMAGES)
    np.testing.assert_array_equal(targets, TARGETS)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_padding": 2}, "--crop-padding must be at least 0 and below 1"),
        ({"cutout": 1.5}, "--cutout must be from 0 to 1"),
        ({"cutout": 0.5, "cutout_probability": -0.1}, "--cutout-probability must be from 0 to 1"),
        ({"cutout_probability": 0.5}, "--cutout-probability needs --cutout"),
        ({"mixup": -1.0}, "--mixup must be at least 0"),
        ({"crop_scale": 0.0}, "--crop-scale must be above 0 and at most 1"),
        ({"crop_scale": 0.5, "crop_padding": 0.1}, "exclude each other"),
        ({"color_jitter": 1.1}, "--color-jitter must be from 0 to 1"),
    ],
)
def test_a_config_refuses_invalid_values(config, message):
    with pytest.raises(UserError, match=message):
        AugmentationConfig(**config)


def test_the_shift_follows_the_size_of_the_images():
    small, large = (np.zeros((4, size, size, 1), np.uint8) for size in (8, 32))
    small[:, 4, 4], large[:, 16, 16] = 255, 255
    for images, most in ((small, 1), (large, 4)):
        shifts = []
        for seed in range(20):
            changed, _ = augment(images=images, seed=(0, seed), crop_padding=0.125)
            shifts += [abs(np.argwhere(image[..., 0])[0] - images.shape[1] // 2).max() for image in changed]
        assert max(shifts) == most
