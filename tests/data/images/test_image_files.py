"""Images that are cached as files and decoded whenever they are read."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.classifier_presets import PRESETS
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images import folder as image_folder
from karpa_tf.data.images import preparation
from karpa_tf.data.images.augmentation import make_augmentation, separate_crops
from karpa_tf.data.images.batches import NoiseBatches, make_evaluation_batches, make_labeled_batches
from karpa_tf.data.images.geometry import draw_crops
from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.data.images.loaders import load_images
from karpa_tf.data.images.splits import load_splits
from karpa_tf.errors import UserError
from karpa_tf.training.identity import find_changed_data, find_differences


def make_pixels(rng, height, width):
    """Returns colors that vary slowly, with some noise, uint8 (height, width, 3)."""
    slow = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(slow) + rng.integers(-9, 10, (height, width, 1))).clip(0, 255).astype(np.uint8)


def write_images(folder):
    """Writes 26 images of many kinds and sizes in two folders, and a broken one."""
    rng = np.random.default_rng(0)
    for number in range(26):
        path = folder / "ab"[number % 2] / f"{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(make_pixels(rng, *rng.integers(9, 60, 2)))
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        if number < 16:  # every orientation, with colors of half the resolution and without
            image.save(f"{path}.jpg", exif=exif, subsampling=2 * (number // 8), progressive=number % 3 == 0)
        elif number < 20:
            image.convert(("L", "CMYK")[number % 2]).save(f"{path}.jpg")
        else:
            mode, suffix = (("L", "png"), ("RGBA", "png"), ("P", "bmp"), ("RGB", "webp"), ("P", "gif"), ("1", "png"))[
                number - 20
            ]
            image.convert(mode).save(f"{path}.{suffix}")
    content = (folder / "a" / "00.jpg").read_bytes()
    (folder / "a" / "broken.jpg").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Returns a function from an `image_cache` and other settings to the labeled `ImageSet` of `write_images`."""
    root = tmp_path_factory.mktemp("originals")
    write_images(root / "images")

    def load(image_cache, channels=3):
        image_format = ImageFormat(
            24, channels, cache_dir=str(root / "cache"), small_images="enlarge", image_cache=image_cache
        )
        return load_splits(str(root / "images"), image_format, 0, 0).train

    return load


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_squares_of_files_are_those_of_the_cache_of_pixels(cached, channels):
    pixels, files = cached("pixels", channels), cached("files", channels)
    assert isinstance(files.images, ImageFiles) and not isinstance(pixels.images, ImageFiles)
    assert files.images.shape == pixels.images.shape == (26, 24, 24, channels)
    assert files.images.dtype == files.images[0].dtype == np.uint8
    np.testing.assert_array_equal(files.images[:], pixels.images)
    np.testing.assert_array_equal(np.asarray(files.sample(7).images), np.asarray(pixels.sample(7).images))
    for indices in (3, -1, slice(20, None, 2), [5, 1, 1], np.array([25, 0]), []):
        np.testing.assert_array_equal(files.images[indices], pixels.images[indices])
    assert (files.names, files.classes, files.labels.tolist()) == (pixels.names, pixels.classes, pixels.labels.tolist())
    assert len(files.skipped) == 1 and "broken.jpg" in files.skipped[0] and files.skipped == pixels.skipped
    assert files.fingerprint != pixels.fingerprint


def test_batches_of_squares_are_those_of_the_cache_of_pixels(cached):
    def list_batches(image_set):
        training = make_labeled_batches(image_set, 4, seed=3).take(3)
        noise = NoiseBatches(image_set.images, 4, 2).make(seed=3).take(2)
        evaluation = make_evaluation_batches(image_set.select(range(20, 26)), 4)
        return tf.nest.flatten([list(batches.as_numpy_iterator()) for batches in (training, noise, evaluation)])

    pairs = list(zip(list_batches(cached("files")), list_batches(cached("pixels")), strict=True))
    assert len(pairs) == 3 * 2 + 2 * 2 + 2 * 3
    for batch, same in pairs:
        np.testing.assert_array_equal(batch, same)


def test_batches_of_crops_can_start_at_any_step_and_no_two_crops_are_equal(cached):
    files = cached("files")
    config, crop_scale = separate_crops(AugmentationConfig(crop_scale=0.3, flip="random"), files.images)
    assert (config.crop_scale, config.flip, crop_scale) == (1.0, "random", 0.3)
    augment = make_augmentation(config, files.images.shape[1:])

    def read(first_step, count):
        batches = make_labeled_batches(files, 13, 7, augment, crop_scale, first_step)
        return list(batches.take(count).as_numpy_iterator())

    batches = read(0, 6)
    for (images, targets), (same_images, same_targets) in zip(batches[4:], read(4, 2), strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(targets, same_targets)
    images = np.concatenate([images for images, _ in batches])
    assert len(np.unique(images, axis=0)) == len(images)
    assert images.min() >= -1 and images.max() <= 1 and images.dtype == np.float32


def test_replicas_get_the_crops_of_one_device(cached, two_replicas):
    batches = make_labeled_batches(cached("files"), 8, 7, None, 0.3, first_step=1)
    parts, _ = next(iter(two_replicas.experimental_distribute_dataset(batches)))
    whole, _ = next(batches.as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate(two_replicas.experimental_local_results(parts)), whole)


@pytest.mark.parametrize("side", [90, 400])
def test_crops_are_those_that_numpy_and_pillow_make_of_the_original(tmp_path, side):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = make_pixels(np.random.default_rng(1), side, side * 3 // 2)
    Image.fromarray(pixels).save(tmp_path / "one.jpg", exif=exif)
    image_format = ImageFormat(96, 3, small_images="enlarge", image_cache="files")
    files, seed, count = load_images(str(tmp_path), image_format).images, np.array([5, 9]), 3
    crops = files.gather_crops(tf.zeros(count, tf.int64), 0.25, tf.constant(seed)).numpy()
    uniform = tf.random.stateless_uniform((4, count), seed + [0, 2**42]).numpy()
    with Image.open(tmp_path / "one.jpg") as image:
        upright = ImageOps.exif_transpose(image)
    width, height = upright.size
    for crop, (area, ratio, y, x) in zip(crops, uniform.T, strict=True):
        area, ratio = (0.25 + 0.75 * area) * width * height, math.exp(math.log(4 / 3) * (2 * ratio - 1))
        rows, columns = min(math.sqrt(area / ratio), height), min(math.sqrt(area * ratio), width)
        rows, columns = round(min(rows, columns * 4 / 3)), round(min(columns, rows * 4 / 3))
        top, left = math.floor(y * (height - rows + 1)), math.floor(x * (width - columns + 1))
        box = left, top, left + columns, top + rows
        expected = np.asarray(upright.crop(box).resize((96, 96), Image.Resampling.BILINEAR), int)
        difference = np.abs(crop - expected)  # Pillow rounds twice.
        assert difference.max() <= 2 and difference.mean() < 0.5


def test_crops_lie_within_images_of_any_shape_and_reach_their_borders():
    heights, widths = (np.repeat(sides, 500) for sides in ([40, 300, 100, 1], [300, 40, 100, 1]))
    top, left, rows, columns = draw_crops(
        tf.constant(heights, tf.int64), tf.constant(widths, tf.int64), 0.1, tf.constant([0, 3], tf.int64)
    ).numpy().T  # fmt: skip
    assert min(rows.min(), columns.min()) == 1
    for start, size, sides in ((top, rows, heights), (left, columns, widths)):
        end = sides - start - size
        for first, last, side in zip(start.reshape(4, 500), end.reshape(4, 500), sides[::500], strict=True):
            assert 0 <= min(first.min(), last.min()) <= max(first.min(), last.min()) <= 0.02 * side
            assert abs(first.mean() - last.mean()) <= 0.06 * side
    ratios = (columns / rows)[:1500]
    assert 0.7 < ratios.min() < 0.78 and 1.28 < ratios.max() < 1.43  # whole pixels
    areas = (rows * columns / heights / widths)[1000:1500]
    assert 0.09 < areas.min() < 0.12 and areas.max() > 0.9


def test_decoding_has_no_ops_with_state_which_would_run_one_after_the_other(cached):
    files = cached("files").images

    def decode(indices, seed):
        return files.gather_crops(indices, 0.5, seed), files.gather_squares(indices)

    signature = tf.TensorSpec((4,), tf.int64), tf.TensorSpec((2,), tf.int64)
    graph = tf.function(decode, autograph=False).get_concrete_function(*signature).graph
    operations = {operation.type for operation in graph.get_operations()}
    assert "StatelessWhile" in operations and not operations & {"While", "PyFunc", "EagerPyFunc"}


def test_jpeg_files_are_kept_as_they_are_and_others_without_loss():
    pixels = make_pixels(np.random.default_rng(0), 12, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save("a.jpg", exif=exif)
    Image.fromarray(pixels).save("b.bmp")
    jpeg, other = (preparation.prepare(Path(name).read_bytes()) for name in ("a.jpg", "b.bmp"))
    assert jpeg == (Path("a.jpg").read_bytes(), 6, 20, 12)
    assert other[1:] == (1, 12, 20)
    np.testing.assert_array_equal(tf.io.decode_png(other.content), pixels)


def test_files_are_checked_in_order_and_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(preparation.os, "cpu_count", lambda: 2)
    started = []
    results = preparation.map_in_order(lambda item: item**2, (started.append(item) or item for item in range(100)))
    assert next(results) == 0 and len(started) == 16
    assert list(results) == [item**2 for item in range(1, 100)]


def test_files_are_checked_once_for_all_sizes_and_nothing_is_left_of_an_interruption(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    (tmp_path / "images").mkdir()
    Image.fromarray(make_pixels(np.random.default_rng(0), 9, 12)).save(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "broken.jpg").touch()
    prepare, image_format = image_folder.prepare, ImageFormat(8, 3, small_images="enlarge", image_cache="files")
    monkeypatch.setattr(image_folder, "prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_images(str(tmp_path / "images"), image_format)
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.setattr(image_folder, "prepare", prepare)
    first = load_images(str(tmp_path / "images"), image_format)
    monkeypatch.setattr(image_folder, "prepare", interrupt)
    second = load_images(str(tmp_path / "images"), dataclasses.replace(image_format, image_size=9, channels=1))
    assert second.images.shape == (1, 9, 9, 1) and second.skipped == first.skipped != ()


@pytest.mark.parametrize(
    ("settings", "count", "keeps"),
    [
        ({}, 106_292, False),  # of 224 x 224 x 3 bytes each
        ({}, 106_293, True),
        ({"channels": 1}, 106_293, False),
        ({"image_cache": "pixels"}, 10**7, False),
        ({"image_cache": "files"}, 1, True),
        ({"needs_originals": True}, 1, True),
        ({"needs_originals": True, "image_cache": "pixels"}, 1, False),
    ],
)
def test_files_are_kept_beyond_16_gb_of_pixels_or_when_whole_images_are_of_use(settings, count, keeps):
    assert dataclasses.replace(ImageFormat(224, 3), **settings).keeps_files(count) == keeps


def test_random_crops_need_whole_images_and_digits_has_no_files():
    preset = PRESETS["images"]
    cropped = dataclasses.replace(preset, augmentation=AugmentationConfig(crop_scale=0.5))
    assert cropped.image_format.needs_originals and not preset.image_format.needs_originals
    with pytest.raises(UserError, match="digits does not have"):
        load_images("digits", ImageFormat(8, 1, image_cache="files"))


def test_a_run_may_be_resumed_with_the_other_cache_only_if_the_data_are_the_same(cached):
    pixels, files = cached("pixels").metadata(), cached("files").metadata()
    assert find_differences({"image_cache": "auto"}, {"image_cache": "pixels"}) == []
    assert find_changed_data(pixels, files) == ["data: count 26, now 26"] and not find_changed_data(files, files)
