"""Batches of masked images: resumable, and with masks of their own."""

import dataclasses

import numpy as np
import pytest
from tiny_masked_images import CONFIG, make_images

from karpa_tf.data.images.masked_batches import make_held_out_batches, make_masked_batches
from karpa_tf.data.images.splits import load_unlabeled_splits
from karpa_tf.errors import UserError
from karpa_tf.tasks import masked_image

IMAGES = make_images()


def test_every_image_has_a_mask_of_its_own_in_every_epoch():
    batches = list(make_masked_batches(IMAGES, CONFIG).take(6).as_numpy_iterator())
    masks = []
    for batch in batches:
        assert batch["images"].shape == (8, 8, 8, 3) and batch["masked"].shape == (8, 12)
        np.testing.assert_array_equal(np.sort(np.hstack([batch["masked"], batch["visible"]])), [list(range(16))] * 8)
        masks += [tuple(sorted(row)) for row in batch["masked"].tolist()]
    assert len(set(masks)) > 40  # of 48, out of 1,820 possible ones


@pytest.mark.parametrize("first", [1, 4])
def test_starting_at_a_step_gives_the_same_batches_as_skipping_to_it(first):
    def augment(images, targets, indices, epoch, seed):
        return images + np.uint8(1), targets

    expected = list(make_masked_batches(IMAGES, CONFIG, augment).take(6).as_numpy_iterator())[first:]
    rest = list(make_masked_batches(IMAGES, CONFIG, augment, first_step=first).take(6 - first).as_numpy_iterator())
    for batch, same in zip(expected, rest, strict=True):
        for name, values in batch.items():
            np.testing.assert_array_equal(values, same[name])


def test_held_out_images_come_once_with_masks_that_depend_on_nothing_else():
    def read(batch_size):
        config = dataclasses.replace(CONFIG, batch_size=batch_size, seed=batch_size)
        batches = list(make_held_out_batches(make_images(19), config).as_numpy_iterator())
        rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        return {name: values[rows["weights"] > 0] for name, values in rows.items()}

    one, other = read(8), read(5)
    assert len(one["images"]) == 19
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_a_mask_rate_that_leaves_nothing_to_see_or_to_draw_is_refused():
    for rate in (0.0, 0.01, 0.99, 1.0):
        with pytest.raises(UserError, match="--mask-rate"):
            dataclasses.replace(CONFIG, mask_rate=rate)


def test_images_need_no_labels(tmp_path, images):
    from PIL import Image

    for index, image in enumerate(images[:10]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    (tmp_path / "more").mkdir()
    Image.fromarray(images[0][..., 0]).save(tmp_path / "more" / "last.png")
    splits = load_unlabeled_splits(str(tmp_path), CONFIG.image_format, 0.2, 0.5)
    assert (len(splits.train.images), len(splits.validation.images), splits.test) == (9, 2, None)
    assert splits.classes == () and not splits.train.labels.any()
    labeled = load_unlabeled_splits("digits", CONFIG.image_format, 0.1, 0.2)
    assert len(labeled.classes) == 10 and len(labeled.test.images) == 359


def test_a_single_folder_of_images_is_no_class_and_nothing_is_held_out_of_a_few(tmp_path, images):
    from PIL import Image

    (tmp_path / "all").mkdir()
    for index, image in enumerate(images[:3]):
        Image.fromarray(image[..., 0]).save(tmp_path / "all" / f"{index}.png")
    config = dataclasses.replace(CONFIG, data=str(tmp_path))
    splits = masked_image.load_data(config)
    assert (len(splits.train.images), splits.validation, splits.test) == (3, None, None)
    assert masked_image.summarize_data(splits).startswith("train      3 images of ")
    assert "359 images, left out" in masked_image.summarize_data(
        masked_image.load_data(dataclasses.replace(config, data="digits"))
    )
